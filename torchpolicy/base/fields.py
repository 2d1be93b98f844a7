"""Checks of values that are read from a file: a table says of which kind each field must be."""

import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

LARGEST = sys.float_info.max
"""The largest number that a file may hold. A larger one is a mistake, or the file is damaged."""


@dataclass(frozen=True)
class Kind:
    """A kind of values.

    Attributes:
        words: The kind in words, which complete the sentence "the field should be …".
        fits: A function that returns whether a value is of this kind.
    """

    words: str
    fits: Callable[[Any], bool]


TEXT = Kind("a text", lambda value: isinstance(value, str))
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
TABLE = Kind("a table", lambda value: isinstance(value, dict))


def whole(at_least: int = 0) -> Kind:
    """A whole number of `at_least` or more."""
    return Kind(f"a whole number >= {at_least}", lambda value: type(value) is int and at_least <= value <= LARGEST)


def number(low: float = -inf) -> Kind:
    """A finite number of `low` or more."""
    words = "a number" if low == -inf else f"a number >= {low:g}"
    return Kind(words, lambda value: type(value) in (int, float) and max(low, -LARGEST) <= value <= LARGEST)


def one_of(*choices: object) -> Kind:
    """One of the `choices`, and of the same type as that choice."""
    words = " or ".join(map(repr, choices))
    return Kind(words, lambda value: any(type(value) is type(each) and value == each for each in choices))


def maybe(kind: Kind) -> Kind:
    """A value of this kind, or null."""
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.fits(value))


def list_of(kind: Kind) -> Kind:
    """A list of values of this kind."""
    return Kind(f"a list, each {kind.words}", lambda value: isinstance(value, list) and all(map(kind.fits, value)))


def table_of(kind: Kind) -> Kind:
    """A table whose values are of this kind."""
    words = f"a table, each value {kind.words}"
    return Kind(words, lambda value: isinstance(value, dict) and all(map(kind.fits, value.values())))


def record_of(fields: Mapping[str, Kind]) -> Kind:
    """A table with exactly these fields."""

    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or value.keys() != fields.keys():
            return False
        return all(kind.fits(value[name]) for name, kind in fields.items())

    return Kind(f"a table of {', '.join(fields)}", fits)


def check_fields(table: Mapping[str, Any], fields: Mapping[str, Kind], needs: Iterable[str]) -> None:
    """Check that every known field is of its kind, and that no needed field is missing.

    Args:
        table: The values that were read, by field. Fields that are not in `fields` are not checked.
        fields: The kind of each known field.
        needs: Names of the fields that must be there.

    Raises:
        ValueError: If a field is of another kind, or is missing. The message names it.
    """
    for name, kind in fields.items():
        if name in table and not kind.fits(table[name]):
            raise ValueError(f"{name} should be {kind.words}, got {shown(table[name])}")
    missing = [name for name in needs if name not in table]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")


def shown(value: object) -> str:
    """A value as a short text, cut if it is long."""
    return reprlib.repr(value)
