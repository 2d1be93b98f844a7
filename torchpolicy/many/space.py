"""What a sweep may choose from: ranges of numbers, and lists of values."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
RANGE = re.compile(rf"(log:)?({NUMBER})\.\.({NUMBER})")


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both of which are included.

    Attributes:
        low: The lowest number.
        high: The highest number.
        log: Whether factors count instead of differences.
        whole: Whether only whole numbers are chosen.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def example(self) -> float:
        """One of the numbers."""
        return int(self.low) if self.whole else self.low

    def suggest(self, trial: Any, name: str) -> float:
        """Let one of Optuna's trials choose a number."""
        if self.whole:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log))
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))


@dataclass(frozen=True)
class Choices:
    """A list of values."""

    values: tuple[Any, ...]

    @property
    def example(self) -> Any:
        """One of the values."""
        return self.values[0]

    def suggest(self, trial: Any, name: str) -> Any:
        """Let one of Optuna's trials choose a value."""
        return trial.suggest_categorical(name, list(self.values))


def read_space(words: Iterable[str]) -> dict[str, Range | Choices]:
    """What a sweep chooses from, by name, from words such as ``std=0.1..1``, ``rate=log:0.001..0.3`` or ``a=1,2,5``.

    A range chooses whole numbers if both of its ends are written as such. One value is always taken.

    Raises:
        ValueError: If a word has another form, or a name is given twice.
    """
    found: dict[str, Range | Choices] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip("-").replace("-", "_")
        if not (name and equals and text):
            raise ValueError(f"--param takes name=low..high, name=log:low..high or name=value,value, got {word!r}")
        if name in found:
            raise ValueError(f"--param names {name} twice")
        match = RANGE.fullmatch(text)
        if match is None:
            found[name] = Choices(tuple(map(_value, text.split(","))))
            continue
        low, high = float(match[2]), float(match[3])
        if not low < high or (match[1] and low <= 0):
            raise ValueError(f"--param {word}: the first end must be below the second one, and above 0 with log")
        found[name] = Range(low, high, bool(match[1]), not re.search(r"[.eE]", f"{match[2]}{match[3]}"))
    if not found:
        raise ValueError("a sweep needs --param at least once, such as --param std_scale=0.1..1")
    return found


def _value(text: str) -> Any:
    """A value as Python writes it, and otherwise as it is."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
