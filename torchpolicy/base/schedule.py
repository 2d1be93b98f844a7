"""Numbers that change from generation to generation."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf

from torchpolicy.base.checks import check_range


class Schedule(ABC):
    """A number for every generation. Only :meth:`at` is asked of it, so that another kind is one more class here."""

    @abstractmethod
    def at(self, generation: int) -> float:
        """The number in a generation, counted from 0."""


@dataclass(frozen=True)
class Geometric(Schedule):
    """A factor that begins at 1 and shrinks by the same share every generation: max(decay^t, floor).

    Args:
        name: The hyperparameter that is multiplied by it; those given here are ``<name>_decay`` and ``min_<name>``.
        decay: The factor of one generation, in (0, 1].
        floor: The smallest factor, in (0, 1]. None: it shrinks without end.

    Raises:
        ValueError: If a number is out of range.
    """

    name: str
    decay: float
    floor: float | None = None

    def __post_init__(self) -> None:
        check_range(f"{self.name}_decay", self.decay, 0, 1, open_low=True)
        if self.floor is not None:
            check_range(f"min_{self.name}", self.floor, 0, 1, open_low=True)

    def at(self, generation: int) -> float:
        return max(self.decay**generation, self.floor or 0.0)


@dataclass(frozen=True)
class Linear(Schedule):
    """A number that loses the same amount every generation until it is 0: max(first - t decay, 0).

    Args:
        name: The hyperparameter; those given here are ``<name>`` and ``<name>_decay``.
        first: Its first value, at least 0.
        decay: What it loses every generation, at least 0.

    Raises:
        ValueError: If a number is out of range.
    """

    name: str
    first: float
    decay: float

    def __post_init__(self) -> None:
        check_range(self.name, self.first, 0, inf)
        check_range(f"{self.name}_decay", self.decay, 0, inf)

    def at(self, generation: int) -> float:
        return max(self.first - generation * self.decay, 0.0)
