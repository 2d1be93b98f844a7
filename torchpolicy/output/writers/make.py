"""Every writer that there is."""

from torchpolicy.base.discovery import entry, names
from torchpolicy.output.writers.base import Writer


def writer_classes() -> list[type[Writer]]:
    """Every writer there is."""
    return [entry("output.writers", name, Writer) for name in names("output.writers")]  # type: ignore[type-abstract]
