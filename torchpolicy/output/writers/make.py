"""The list of all writers, and writers of the user's own."""

from collections.abc import Sequence
from pathlib import Path

from torchpolicy.base.discovery import entry, names
from torchpolicy.output.writers.base import MakesWriter, Writer

EXPECTED = "a subclass of torchpolicy.Writer, or a function of (run_dir, resumed_at) that returns a writer"


def writer_classes() -> list[type[Writer]]:
    """The classes of all writers, in the order of their names."""
    return [entry("output.writers", name, Writer) for name in names("output.writers")]  # type: ignore[type-abstract]


def check_writers(writers: Sequence[object]) -> list[MakesWriter]:
    """What makes the user's writers, as a list.

    Raises:
        ValueError: If one of them cannot make a writer.
    """
    if not isinstance(writers, Sequence) or isinstance(writers, str):
        raise ValueError(f"writers should be a list, each {EXPECTED}, got {writers!r}")
    for each in writers:
        if (isinstance(each, type) and not issubclass(each, Writer)) or not callable(each):
            raise ValueError(f"a writer should be {EXPECTED}, got {each!r}")
    return list(writers)  # type: ignore[arg-type]


def make_writer(make: MakesWriter, run_dir: Path, resumed_at: int | None) -> Writer:
    """Make a writer.

    Raises:
        TypeError: If something else was made.
    """
    writer: object = make(run_dir, resumed_at)
    if not isinstance(writer, Writer):
        raise TypeError(f"it should return a torchpolicy.Writer, got {writer!r}")
    return writer


def name_of(make: MakesWriter) -> str:
    """The name by which the user is told about what makes a writer."""
    make = getattr(make, "func", make)  # of functools.partial
    return str(getattr(make, "__name__", type(make).__name__))
