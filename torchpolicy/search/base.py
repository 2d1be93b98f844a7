"""Search over flat vectors by ask and tell."""

from abc import ABC, abstractmethod
from math import floor, log
from typing import Any, ClassVar

import torch
from torch import Tensor, finfo

from torchpolicy.base.checks import LARGEST_POPULATION, check_count, check_range, check_seed
from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.base.types import Metrics
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.bounds import Bound, Bounds
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.population import Candidates, Population


class Search(ABC):
    """Optimises a black box: :meth:`ask` for candidates, score them, :meth:`tell`, repeat.

    The base validates and counts; a subclass writes ``_sample`` and ``_update``. Nothing is pending
    between the two calls, so a search can be saved at any point. Where the population is None, it is
    4 + floor(3 ln D).

    Args:
        center: (D,), where the search starts.
        population: P, the number of candidates in a generation, at least 2.
        seed: Seed of the search's own random stream; no global one is touched.
        maximize: Whether higher scores are better.
        mirrored: Whether candidates come in pairs, rows 2i and 2i + 1 on either side of the center.
        weight_decay: Share of the center that it loses after every generation, from 0 to 1.
        bounds: The lower and the upper bound of every entry, each a number or (D,), for whoever searches for other
            things than weights. Candidates beyond them are reflected. There are none if not set.

    Attributes:
        center: (D,), the point that the search recommends; never the luckiest sample.
        generation: How many times the search was told.
        generator: The search's own random stream.
        noise_rank: The rank of the noise in each matrix; None unless the search has noise of a low rank.
        matrices: About how many matrices of D x D float64 numbers it holds at a time, at most.
        episodes: Episodes that each candidate plays in a generation, unless the run sets another number.
        has_candidates: Whether there are candidates with scores of their own; a learner has none.
        resumable: Whether its state is all that it needs to go on.
        restarts: How many times it has begun again.
        auto: What the learning rate follows if it is "auto"; None otherwise.

    Raises:
        ValueError: If an argument is out of range.
    """

    noise_rank: int | None = None
    matrices: ClassVar[int] = 0
    episodes: ClassVar[int] = 1
    has_candidates: ClassVar[bool] = True
    resumable: bool = True
    restarts: int = 0
    auto: AutoRate | None = None

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None,
        seed: int = 0,
        maximize: bool = True,
        mirrored: bool = False,
        weight_decay: float = 0.0,
        bounds: tuple[Bound, Bound] | None = None,
    ) -> None:
        if (
            not isinstance(center, Tensor)
            or center.ndim != 1
            or not len(center)
            or center.dtype not in (torch.float32, torch.float64)
        ):
            found = f"{center.dtype} {tuple(center.shape)}" if isinstance(center, Tensor) else type(center).__name__
            raise ValueError(f"center must be a tensor of float32 or float64, (D,), got {found}")
        if not center.isfinite().all():
            raise ValueError("center must be finite")
        self.center = center.detach().clone()
        default = 4 + floor(3 * log(len(center)))  # Wierstra et al. (2014), table 1
        population = default if population is None else population
        self.population = check_count("population", population, at_least=2, at_most=LARGEST_POPULATION)
        if mirrored and self.population % 2:
            raise ValueError(f"population must be even, for mirrored pairs, got {population}")
        self.mirrored = mirrored
        self.maximize = maximize
        check_range("weight_decay", weight_decay, 0, 1)
        self._remaining = 1.0 - weight_decay  # share of the center; what NES calls its weight decay is another thing
        self.bounds = None if bounds is None else Bounds(bounds, self.center)
        self.generation = 0
        self.generator = torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.SEARCH))

    @property
    def dim(self) -> int:
        """D, the length of the vectors."""
        return len(self.center)

    @property
    def drawn(self) -> int:
        """Noise vectors that a generation holds in memory: the two of a low-rank pair share one."""
        return self.population // (2 if self.mirrored and self.noise_rank else 1)

    def ask(self) -> Candidates:
        """Draw candidates, (P, D): a tensor, or with `noise_rank` a population, which is never written out in full."""
        candidates = self._sample()
        if self.bounds is not None and isinstance(candidates, Tensor):
            return self.bounds.reflect(candidates)
        return candidates

    @torch.no_grad()
    def tell(self, candidates: Candidates, scores: Tensor) -> Metrics:
        """Move the search distribution towards the better candidates.

        Where nothing can be learned, as when all scores are equal or fewer than two evaluations succeeded, the search
        stays where it is, but for its weight decay, and counts the generation as stalled.

        Args:
            candidates: (N, D), as returned by :meth:`ask`. Fewer rows than the population are allowed;
                mirrored pairs stay together.
            scores: (N,), one per row, in the units of the objective. A NaN marks a failed evaluation, and so does
                a score beyond 1e19 (1e154 where candidates are float64) or a candidate that is not finite. The
                other one of a mirrored pair is then left out, too.

        Returns:
            Scalars that describe the update, keyed ``search/<name>``.

        Raises:
            ValueError: If the shapes disagree.
        """
        scores = torch.as_tensor(scores, dtype=torch.float64).to("cpu", copy=True)  # wherever candidates are
        told = as_population(candidates, self.center)
        if len(told.shape) != 2 or told.shape[1] != self.dim:
            raise ValueError(f"candidates must have shape (N, {self.dim}), got {told.shape}")
        if scores.shape != told.shape[:1]:
            raise ValueError(f"scores must have shape ({len(told)},), got {tuple(scores.shape)}")
        if self.mirrored and len(scores) % 2:
            raise ValueError(f"candidates must be mirrored pairs, two rows each, got {len(scores)} rows")
        failed = ~(told.finite() & (scores.abs() < finfo(told.dtype).max ** 0.5))
        kept = ~(failed.view(-1, 2).any(1).repeat_interleave(2) if self.mirrored else failed)
        if not kept.all():
            told, scores = told[kept], scores[kept]
        before = self.center.clone()
        metrics = None
        if len(scores) >= 2 and not (scores == scores[0]).all():
            metrics = self._update(self._for_update(told), scores if self.maximize else -scores)
        if self._remaining < 1:
            self.center = self._remaining * self.center
        if self.bounds is not None:
            self.center = self.bounds.clamp(self.center)
        self.generation += 1
        return (metrics or {}) | {
            "search/step_norm": float(torch.linalg.vector_norm(self.center - before)),
            "search/stalled": float(metrics is None),
            "search/failed": float(failed.sum()),
        }

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on exactly, by the names of the attributes that hold it.

        The base keeps ``center``, ``generation`` and the state of ``generator``. A subclass adds every attribute that
        its updates change::

            return super().state_dict() | {"std": self.std.clone()}

        A value is a tensor, which is copied, or a plain one: a number, a text, a truth value, a list, None. An
        attribute that has a ``state_dict`` and a ``load_state_dict`` of its own is kept as the dict that it gives.
        Hyperparameters are not kept: a search is made with them before it goes on from a state. Only the first std
        is, because floors and proportions are measured by it.
        """
        state = {
            "center": self.center.clone(),
            "generation": self.generation,
            "generator": self.generator.get_state(),
        }
        return state if self.auto is None else state | {"auto": self.auto.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, on the device that the search is on.

        Raises:
            ValueError: If the state is another kind of search's, or of another dimension.
        """
        expected = self.state_dict()
        if state.keys() != expected.keys():
            odd = sorted(state.keys() ^ expected.keys())
            raise ValueError(f"not the state of a {type(self).__name__}: missing or unknown {odd}")
        for name, value in expected.items():
            _check_like(name, state[name], value)
        plain = {name: value for name, value in state.items() if not isinstance(value, dict)}
        for name in state.keys() - plain.keys():  # first, for these may refuse what they get
            getattr(self, name).load_state_dict(state[name])
        self.generator.set_state(plain.pop("generator"))
        for name, value in plain.items():
            setattr(self, name, value.to(expected[name], copy=True) if isinstance(value, Tensor) else value)

    @abstractmethod
    def _sample(self) -> Candidates:
        """Draw candidates, (P, D)."""

    @abstractmethod
    def _update(self, candidates: Any, scores: Tensor) -> Metrics | None:
        """Move `center` and whatever surrounds it; None if nothing could be learned.

        Args:
            candidates: (N, D) those that did not fail, a tensor; mirrored pairs are whole.
            scores: (N,) float64, finite; higher ones are better, and at least two differ.
        """

    def _for_update(self, candidates: Population) -> Any:
        """Candidates in the form that ``_update`` takes: a tensor (N, D) unless a subclass says otherwise."""
        return candidates.dense()


def _check_like(name: str, value: Any, expected: Any) -> None:
    """Refuse a value of a state that is of another kind than is expected, or not finite."""
    if type(value) is not type(expected) and not (isinstance(value, Tensor) and isinstance(expected, Tensor)):
        raise ValueError(f"{name} should be a {type(expected).__name__}, got {type(value).__name__}")
    if not isinstance(expected, Tensor):
        return
    if value.shape != expected.shape or value.dtype != expected.dtype:
        expectation = f"shape {tuple(expected.shape)} of {expected.dtype}"
        raise ValueError(f"{name} should have {expectation}, got {tuple(value.shape)} of {value.dtype}")
    if not value.isfinite().all():
        raise ValueError(f"{name} should be finite")
