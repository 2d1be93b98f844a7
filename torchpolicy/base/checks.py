"""Checks of arguments, whose errors name the argument, what was expected and what was given, in one line."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from math import isfinite, nan
from numbers import Integral, Real

MOST_EPISODES = 10_000_000
"""The largest number of episodes that one evaluation may play for a candidate; computing their seeds takes two minutes.
"""

MOST_PROCESSES = 10_000
"""The most processes on one machine."""

LONGEST_EPISODE, LARGEST_POPULATION, WIDEST_LAYER = 2**63 - 1, 2**31 - 1, 2**31 - 1
"""The largest numbers of steps, candidates and units that can be counted, whether or not they fit into memory."""


def check_count(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int:
    """Return `value` as an int, if it is a whole number from `at_least` to `at_most`.

    Raises:
        ValueError: If `value` is anything else.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")
    if at_most is not None and int(value) > at_most:
        raise ValueError(f"{name} must be an integer <= {at_most}, got {value!r}")
    return int(value)


def check_counts(name: str, values: object, *, at_most: int) -> list[int]:
    """Return whole numbers from 1 to `at_most` as a list; one number is a list of one.

    Raises:
        ValueError: If `values` is anything else.
    """
    if isinstance(values, Integral):
        values = [values]
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise ValueError(f"{name} must be a sequence of integers >= 1, got {values!r}")
    return [check_count(name, value, at_least=1, at_most=at_most) for value in values]


def check_range(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    """Check that `value` is a finite number in [low, high], or in (low, high] with `open_low`.

    Raises:
        ValueError: If `value` is anything else.
    """
    try:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    except OverflowError:  # a whole number of more than 308 digits
        number = nan
    if not isfinite(number) or not low <= number <= high or (open_low and number == low):
        start, end = "(" if open_low else "[", "]" if isfinite(high) else ")"
        raise ValueError(f"{name} must be a number in {start}{low:g}, {high:g}{end}, got {value!r}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Check that `value` is one of the `choices`.

    Raises:
        ValueError: If it is not.
    """
    if not (isinstance(value, str) and value in choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_seed(seed: object) -> int:
    """Return `seed` as an int.

    Raises:
        ValueError: If `seed` is not a whole number of 0 or more.
    """
    return check_count("seed", seed, at_least=0)


SIMILAR = 0.7
"""The share of common letters from which on two names are similar."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """The text ``; did you mean 'x'?`` if a known name is similar to `name`, and otherwise an empty text."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=SIMILAR)
    return f"; did you mean {close[0]!r}?" if close else ""
