"""Refusing what is out of range, in one line: the argument, what was expected, what came."""

from collections.abc import Collection
from math import isfinite, nan
from numbers import Integral, Real

MOST_EPISODES = 10_000_000
"""Of one candidate in one go; their seeds take two minutes."""

MOST_PROCESSES = 10_000
"""On one machine."""

LONGEST_EPISODE, LARGEST_POPULATION, WIDEST_LAYER = 2**63 - 1, 2**31 - 1, 2**31 - 1
"""Steps, candidates and units that can be counted; what of it fits into memory is another question."""


def check_count(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """A whole number of `at_least` or more, and `at_most` or less where that is given, as an int.

    Raises:
        ValueError: If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")
    if at_most is not None and int(value) > at_most:
        raise ValueError(f"{name} must be an integer <= {at_most}, got {value!r}")
    return int(value)


def check_range(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse what is not a finite number in [low, high], or in (low, high] with `open_low`.

    Raises:
        ValueError: If it is not.
    """
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:  # a whole number of more than 308 digits
        number = nan
    if not isfinite(number) or not low <= number <= high or (open_low and number == low):
        start, end = "(" if open_low else "[", "]" if isfinite(high) else ")"
        raise ValueError(f"{name} must be a number in {start}{low:g}, {high:g}{end}, got {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse what is not one of the `choices`.

    Raises:
        ValueError: If it is not.
    """
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_seed(seed: object) -> int:
    """`seed` as a plain int.

    Raises:
        ValueError: If it is not a whole number of 0 or more.
    """
    return check_count("seed", seed, at_least=0)
