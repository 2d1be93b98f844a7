"""Reads the docstrings' few marks of reStructuredText, roles and double colons, as Markdown."""

import re
from typing import Any

from griffe import Docstring, Extension, Object

LINK = r'<autoref optional identifier="torchpolicy.\1"><code>\1</code></autoref>'
"""A link to a public name; code without a link if the name is on no page."""


class Docstrings(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for every module, class, function and attribute of the package."""
        if isinstance(obj.docstring, Docstring):
            text = re.sub(r":(?:class|func):`(?:torchpolicy\.)?(\w+)`", LINK, obj.docstring.value)
            text = re.sub(r":(?:class|func|meth|data|mod|exc):`([^`]*)`", r"`\1`", text)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
