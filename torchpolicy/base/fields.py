"""What a value read from a file may be: the fields of a file are a table of names and kinds."""

import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

LARGEST = sys.float_info.max
"""A whole number beyond it is a mistake, or damage."""


@dataclass(frozen=True)
class Kind:
    """What a value may be.

    Attributes:
        words: Completes "should be …".
        fits: Whether a value is of this kind.
    """

    words: str
    fits: Callable[[Any], bool]


TEXT = Kind("a text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, dict))


def whole(at_least: int = 0) -> Kind:
    """A whole number of so much or more."""
    return Kind(f"a whole number >= {at_least}", lambda value: type(value) is int and at_least <= value <= LARGEST)


def number(low: float = -inf) -> Kind:
    """A finite number of so much or more."""
    words = "a number" if low == -inf else f"a number >= {low:g}"
    return Kind(words, lambda value: type(value) in (int, float) and max(low, -LARGEST) <= value <= LARGEST)


def one_of(*choices: object) -> Kind:
    """One of some values, and of the same type."""
    words = " or ".join(map(repr, choices))
    return Kind(words, lambda value: any(type(value) is type(each) and value == each for each in choices))


def maybe(kind: Kind) -> Kind:
    """Such a value, or null."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.fits(value))


def list_of(kind: Kind) -> Kind:
    """A list of such values."""
    return Kind(f"a list, each {kind.words}", lambda value: isinstance(value, list) and all(map(kind.fits, value)))


def table_of(kind: Kind) -> Kind:
    """A table of such values."""
    words = f"a table, each value {kind.words}"
    return Kind(words, lambda value: isinstance(value, dict) and all(map(kind.fits, value.values())))


def record_of(fields: Mapping[str, Kind]) -> Kind:
    """A table of these fields and no others."""

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or value.keys() != fields.keys():
            return False
        return all(kind.fits(value[name]) for name, kind in fields.items())

    return Kind(f"a table of {', '.join(fields)}", fits)


def check_fields(table: Mapping[str, Any], fields: Mapping[str, Kind], needs: Iterable[str]) -> None:
    """See that what is needed is there, and that all that is known is of its kind; other fields are left alone.

    Raises:
        ValueError: With the first field that is missing or of another kind.
    """
    for name, kind in fields.items():
        if name in table and not kind.fits(table[name]):
            raise ValueError(f"{name} should be {kind.words}, got {shown(table[name])}")
    missing = [name for name in needs if name not in table]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")


def shown(value: object) -> str:
    """A value in a few words, however long it is."""
    return reprlib.repr(value)
