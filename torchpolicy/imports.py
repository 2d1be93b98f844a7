"""The user's own code by name: ``pkg.mod:name``."""

import importlib
import sys
from pathlib import Path
from typing import Any

from torchpolicy.foreign import blaming


def import_name(path: str) -> Any:
    """What ``"pkg.mod:name"`` names; modules of the working directory are found too, now and later.

    Raises:
        ValueError: If there is no such module, it cannot be imported, or has nothing of that name.
    """
    module_name, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    with blaming(f"{path!r}: cannot import {module_name!r}"):
        module = importlib.import_module(module_name)
    try:
        return getattr(module, name)
    except AttributeError:
        raise ValueError(f"{path!r}: {module_name!r} has no {name!r}") from None
