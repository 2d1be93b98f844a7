"""Search over flat vectors by ask and tell."""

from abc import ABC, abstractmethod
from math import floor, log
from typing import Any

import torch
from torch import Tensor, finfo

from torchpolicy.checks import LARGEST_POPULATION, check_count, check_seed
from torchpolicy.gaussian import draw
from torchpolicy.params import Slices
from torchpolicy.population import LowRankNoise, Population
from torchpolicy.seeding import Stream, derive_seed

Metrics = dict[str, float]

SMALLEST = 1e-18
"""Of a std: the square of a smaller one is no number in float32."""


class Search(ABC):
    """Optimises a black box: :meth:`ask` for candidates, score them, :meth:`tell`, repeat.

    The base validates and counts; a subclass writes ``_sample`` and ``_update``. Nothing is pending
    between the two calls, so a search can be saved at any point.

    Args:
        center: (D,), where the search starts.
        population: P, candidates a generation, at least 2. None: 4 + floor(3 ln D).
        seed: Of the search's own random stream; no global one is touched.
        maximize: Whether higher scores are better.
        mirrored: Whether candidates come in pairs, rows 2i and 2i + 1 on either side of the center.
        slices: Where each tensor lies in the center, for `noise_rank`.
        noise_rank: Of the noise in each matrix; then :meth:`ask` returns a :class:`Population`. None: all of it.

    Attributes:
        center: (D,), the point that the search recommends; never the luckiest sample.
        generation: How many times it was told.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None,
        seed: int = 0,
        maximize: bool = True,
        mirrored: bool = False,
        slices: Slices | None = None,
        noise_rank: int | None = None,
    ) -> None:
        if not isinstance(center, Tensor) or center.ndim != 1 or not len(center) or not center.is_floating_point():
            found = f"{center.dtype} {tuple(center.shape)}" if isinstance(center, Tensor) else type(center).__name__
            raise ValueError(f"center must be a tensor of floats, (D,), got {found}")
        if not center.isfinite().all():
            raise ValueError("center must be finite")
        self.center = center.detach().clone()
        default = 4 + floor(3 * log(len(center)))  # Wierstra et al. (2014), table 1
        population = default if population is None else population
        self.population = check_count("population", population, at_least=2, at_most=LARGEST_POPULATION)
        if mirrored and self.population % 2:
            raise ValueError(f"population must be even, for mirrored pairs, got {population}")
        self.noise = None if noise_rank is None else LowRankNoise(slices, noise_rank)
        if slices is not None and slices.dim != len(center):
            raise ValueError(f"slices are of {slices.dim} numbers, center has {len(center)}")
        self.noise_rank = noise_rank
        self.mirrored = mirrored
        self.maximize = maximize
        self.generation = 0
        self.generator = torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.SEARCH))

    @property
    def dim(self) -> int:
        """D."""
        return len(self.center)

    def ask(self) -> Tensor | Population:
        """Draw a population of candidates, (P, D)."""
        return self._sample()

    @torch.no_grad()
    def tell(self, candidates: Tensor | Population, scores: Tensor) -> Metrics:
        """Move the search distribution towards the better candidates.

        Where nothing can be learned, as when all scores are equal or fewer than two evaluations
        succeeded, the search stays where it is and counts the generation as stalled.

        Args:
            candidates: (N, D), as returned by :meth:`ask`. Fewer rows than the population are allowed;
                mirrored pairs stay together.
            scores: (N,), one per row, in the units of the objective. NaN, or what is beyond 1e19 (1e154 where
                candidates are float64), marks a failed evaluation. So does a candidate that is not finite.
                The other one of a mirrored pair is then left out, too.

        Returns:
            Scalars that describe the update, keyed ``search/<name>``.

        Raises:
            ValueError: If the shapes disagree.
        """
        scores = torch.as_tensor(scores, dtype=torch.float64).to("cpu", copy=True)  # wherever candidates are
        if not isinstance(candidates, Population):
            candidates = torch.as_tensor(candidates, dtype=self.center.dtype, device=self.center.device)
        if len(candidates.shape) != 2 or candidates.shape[1] != self.dim:
            raise ValueError(f"candidates must have shape (N, {self.dim}), got {tuple(candidates.shape)}")
        if scores.shape != candidates.shape[:1]:
            raise ValueError(f"scores must have shape ({len(candidates)},), got {tuple(scores.shape)}")
        if self.mirrored and len(scores) % 2:
            raise ValueError(f"candidates must be mirrored pairs, two rows each, got {len(scores)} rows")
        failed = self._failed(candidates, scores)
        kept = ~(failed.view(-1, 2).any(1).repeat_interleave(2) if self.mirrored else failed)
        if not kept.all():
            candidates, scores = candidates[kept], scores[kept]
        before = self.center.clone()
        metrics = None
        if len(scores) >= 2 and not (scores == scores[0]).all():
            metrics = self._update(candidates, scores if self.maximize else -scores)
        self.generation += 1
        return (metrics or {}) | {
            "search/step_norm": float(torch.linalg.vector_norm(self.center - before)),
            "search/stalled": float(metrics is None),
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
            new = state[name]
            if type(new) is not type(value) and not (isinstance(new, Tensor) and isinstance(value, Tensor)):
                raise ValueError(f"{name} should be a {type(value).__name__}, got {type(new).__name__}")
            if isinstance(value, Tensor) and (new.shape != value.shape or new.dtype != value.dtype):
                expectation = f"shape {tuple(value.shape)} of {value.dtype}"
                raise ValueError(f"{name} should have {expectation}, got {tuple(new.shape)} of {new.dtype}")
            if isinstance(value, Tensor) and not new.isfinite().all():
                raise ValueError(f"{name} should be finite")
        for name, value in state.items():
            if isinstance(value, dict):
                getattr(self, name).load_state_dict(value)
        for name, value in state.items():
            if name == "generator":
                self.generator.set_state(value)
            elif not isinstance(value, dict):
                like = expected[name]  # on the device that the search is on
                setattr(self, name, value.to(like, copy=True) if isinstance(value, Tensor) else value)

    def _check_std(self, std: float | Tensor) -> Tensor:
        """A first std, one number or (D,), as a vector (D,) that suits the search's kind of noise."""
        vector = check_std(std, self.center)
        if self.noise is not None:
            self.noise.check_std(vector)
        return vector

    def _draw(self, std: Tensor) -> Tensor | Population:
        """Candidates (P, D) from a Gaussian around the center, of the search's kind of noise."""
        make = draw if self.noise is None else self.noise.draw
        return make(self.center, std, self.population, self.generator, mirrored=self.mirrored)

    @abstractmethod
    def _sample(self) -> Tensor | Population:
        """Draw candidates, (P, D)."""

    @abstractmethod
    def _update(self, candidates: Any, scores: Tensor) -> Metrics | None:
        """Move `center` and whatever surrounds it; None if nothing could be learned.

        Higher scores are better, all are finite, at least two differ, and mirrored pairs are whole.
        """

    @staticmethod
    def _failed(candidates: Tensor | Population, scores: Tensor) -> Tensor:
        """Which rows failed, (N,)."""
        fine: Tensor = scores.abs() < finfo(candidates.dtype).max ** 0.5
        if isinstance(candidates, Population):
            return ~fine
        suspect = ~candidates.sum(1).isfinite()  # one sum is much faster than a look at each number
        if suspect.any():
            suspect[suspect.clone()] = ~candidates[suspect].isfinite().all(1)
        return suspect.cpu() | ~fine


def clamp_std(std: Tensor, initial: Tensor, min_std: float) -> tuple[Tensor, float]:
    """`std` (D,) between `min_std` and 1e8 times its `initial` value, and the share of it that is at the floor.

    Where a score does not depend on the scale of the weights, as a linear policy's, nothing else keeps std from
    growing without end.
    """
    lowest = (min_std * initial).clamp(min=SMALLEST)
    clamped = std.clamp(lowest, 1e8 * initial)
    return clamped, float((clamped == lowest).double().mean())


def check_std(std: float | Tensor, center: Tensor) -> Tensor:
    """A standard deviation, one number or (D,), as a vector (D,) like `center`."""
    try:
        vector = torch.as_tensor(std, dtype=center.dtype).to(center.device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        vector = torch.empty(0, 0)
    if isinstance(std, bool) or vector.ndim > 1 or (vector.ndim == 1 and vector.shape != center.shape):
        raise ValueError(f"std must be a number or a vector of shape {tuple(center.shape)}, got {std!r}")
    if not (vector.isfinite() & (vector > SMALLEST)).all():
        raise ValueError(f"std must be positive and finite, got {std!r}")
    return vector.expand_as(center).clone()
