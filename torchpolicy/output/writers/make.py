"""The list of all writers."""

from torchpolicy.base.discovery import entry, names
from torchpolicy.output.writers.base import Writer


def writer_classes() -> list[type[Writer]]:
    """The classes of all writers, in the order of their names."""
    return [entry("output.writers", name, Writer) for name in names("output.writers")]  # type: ignore[type-abstract]
