"""The version of the package, and of the format in which it writes files."""

from collections.abc import Mapping
from typing import Any

__version__ = "0.1.0"

FORMAT_VERSION = 1
"""Format of ``config.json``, ``policy.json`` and checkpoints. It rises when earlier versions cannot read new files."""


def stamp() -> dict[str, Any]:
    """The fields by which a file says in which format it is, and which version wrote it."""
    return {"format_version": FORMAT_VERSION, "torchpolicy": __version__}


def check_format(fields: Mapping[str, Any], writer: object = None) -> None:
    """Refuse a file that a newer version wrote in a format that this one does not know.

    A file without a ``format_version`` is from before there was one, and can be read.

    Args:
        fields: The file's fields.
        writer: The version that wrote the file. None if that is unknown.

    Raises:
        ValueError: If the format is newer. The message names both versions and both formats.
    """
    found = fields.get("format_version")
    if type(found) is int and found > FORMAT_VERSION:
        by = f"torchpolicy {writer}" if isinstance(writer, str) else "a newer torchpolicy"
        raise ValueError(
            f"was written by {by}, in format {found}; this is {__version__}, which reads format {FORMAT_VERSION}"
        )
