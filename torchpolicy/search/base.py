"""Search over flat vectors by ask and tell."""

from abc import ABC, abstractmethod
from math import nan
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from torchpolicy.seeding import Stream, check_seed, derive_seed

Metrics = dict[str, float]


class Search(ABC):
    """Optimises a black box: :meth:`ask` for candidates, score them, :meth:`tell`, repeat.

    The base validates and counts; a subclass writes ``_sample`` and ``_update``. Nothing is pending
    between the two calls, so a search can be saved at any point.

    Args:
        center: (D,), where the search starts.
        population: P, candidates a generation, at least 2.
        seed: Of the search's own random stream; no global one is touched.
        maximize: Whether higher scores are better.

    Attributes:
        center: (D,), the point that the search recommends; never the luckiest sample.
        generation: How many times it was told.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, center: Tensor, *, population: int, seed: int = 0, maximize: bool = True) -> None:
        if center.ndim != 1 or not len(center) or not center.is_floating_point():
            raise ValueError(f"center must be a float vector (D,), got {center.dtype} {tuple(center.shape)}")
        if not center.isfinite().all():
            raise ValueError("center must be finite")
        check_count("population", population, at_least=2)
        self.center = center.detach().clone()
        self.population = int(population)
        self.maximize = maximize
        self.generation = 0
        self.generator = torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.SEARCH))

    @property
    def dim(self) -> int:
        """D."""
        return len(self.center)

    def ask(self) -> Tensor:
        """Draw a population of candidates, (P, D)."""
        return self._sample()

    def tell(self, candidates: Tensor, scores: Tensor) -> Metrics:
        """Move the search distribution towards the better candidates.

        Where nothing can be learned, as when all scores are equal or fewer than two evaluations
        succeeded, the search stays where it is and counts the generation as stalled.

        Args:
            candidates: (N, D), as returned by :meth:`ask`. Fewer rows than the population are allowed.
            scores: (N,), one per row, in the units of the objective. NaN, or an infinity,
                marks a failed evaluation.

        Returns:
            Scalars that describe the update, keyed ``search/<name>``.

        Raises:
            ValueError: If the shapes disagree.
        """
        scores = torch.as_tensor(scores, dtype=torch.float64)
        if candidates.ndim != 2 or candidates.shape[1] != self.dim:
            raise ValueError(f"candidates must have shape (N, {self.dim}), got {tuple(candidates.shape)}")
        if scores.shape != candidates.shape[:1]:
            raise ValueError(f"scores must have shape ({len(candidates)},), got {tuple(scores.shape)}")
        failed = ~scores.isfinite()
        before = self.center.clone()
        kept = scores[~failed]
        stalled = len(kept) < 2 or bool((kept == kept[0]).all())
        metrics = {} if stalled else self._update(candidates, scores if self.maximize else -scores)
        self.generation += 1
        return metrics | {
            "search/step_norm": float(torch.linalg.vector_norm(self.center - before)),
            "search/stalled": float(stalled),
            "search/failed": float(failed.sum()),
        }

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on exactly, as tensors and plain values."""
        return {
            "center": self.center.clone(),
            "generation": self.generation,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If the state is another kind of search's, or of another dimension.
        """
        expected = self.state_dict()
        if state.keys() != expected.keys():
            odd = sorted(state.keys() ^ expected.keys())
            raise ValueError(f"not the state of a {type(self).__name__}: missing or unknown {odd}")
        for name, value in expected.items():
            if isinstance(value, Tensor) and value.shape != state[name].shape:
                raise ValueError(f"{name} should have shape {tuple(value.shape)}, got {tuple(state[name].shape)}")
        for name, value in state.items():
            if name == "generator":
                self.generator.set_state(value)
            else:
                setattr(self, name, value.clone() if isinstance(value, Tensor) else value)

    @abstractmethod
    def _sample(self) -> Tensor:
        """Draw candidates, (P, D)."""

    @abstractmethod
    def _update(self, candidates: Tensor, scores: Tensor) -> Metrics:
        """Move `center` and whatever surrounds it; higher scores are better, NaN failed, at least two differ."""


def check_count(name: str, value: object, *, at_least: int) -> None:
    """Refuse what is not a whole number of `at_least` or more."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < at_least:
        raise ValueError(f"{name} must be an integer >= {at_least}, got {value!r}")


def check_range(name: str, value: object, low: float, high: float, *, open_low: bool = False) -> None:
    """Refuse what is not a number in [low, high], or in (low, high] with `open_low`."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else nan
    if not low <= number <= high or (open_low and number == low):
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} must be in {bracket}{low:g}, {high:g}], got {value!r}")


def check_std(std: float | Tensor, center: Tensor) -> Tensor:
    """A standard deviation, one number or (D,), as a vector (D,) like `center`."""
    vector = torch.as_tensor(std, dtype=center.dtype, device=center.device)
    if isinstance(std, bool) or vector.ndim > 1 or (vector.ndim == 1 and vector.shape != center.shape):
        raise ValueError(f"std must be a number or a vector of shape {tuple(center.shape)}, got {std!r}")
    if not (vector.isfinite() & (vector > 0)).all():
        raise ValueError(f"std must be positive and finite, got {std!r}")
    return vector.expand_as(center).clone()
