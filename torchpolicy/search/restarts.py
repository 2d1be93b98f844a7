"""A search that begins again where it stalls, with twice the population.

Auger & Hansen (2005), "A restart CMA evolution strategy with increasing population size".
"""

import inspect
from collections.abc import Callable
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.base.checks import check_choice, check_count
from torchpolicy.base.fields import TABLE, Kind, check_fields, list_of, maybe, number, whole
from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.base.types import Metrics
from torchpolicy.search.base import Search
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.population import Candidates

CONVERGED, LOW = 1e-11, 1e-6
"""The largest std, in units of the first one, of a search that has converged; and the largest floor that counts as
convergence where std has come down to it, because higher floors are meant to be stayed at."""

FIELDS: dict[str, Kind] = {
    "generation": whole(),
    "restarts": whole(),
    "medians": list_of(number()),
    "best_median": maybe(number()),
    "best_center": Kind("a finite tensor", lambda value: isinstance(value, Tensor) and bool(value.isfinite().all())),
    "inner": TABLE,
}
"""Fields of its state, and what each may be."""


class Restarts(Search):
    """Any search, begun again with twice the population whenever it has converged or stands still.

    Example::

        search = Restarts(partial(CMAES, std=2.0, maximize=False), torch.zeros(10))
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    A search stands still if the median of the scores of its last `patience` generations is no better than that of the
    `patience` generations before. It has converged if its std is 1e-11 of the first one, or at its floor, everywhere.
    What else can be asked of a search is answered by the present one.

    Args:
        make: What makes a search: a function of `center`, `seed` and, from the second search on, `population`, given by
            these names, such as ``partial(SNES, std=0.5)``.
        center: (D,), where the first search starts.
        start: Where the others start: ``"fresh"``, at a random point around the first center, as far away as the first
            std is wide, or ``"best"``, at the center whose generation had the best median score.
        patience: Generations over which the medians are taken.
        doublings: How often the population is doubled at most, 9 times as in the paper. (A run's option doubles it 4
            times, because larger populations of networks leave no time to get anywhere.)
        seed: Seed of all searches and of fresh centers.

    Attributes:
        inner: The present search.
        restarts: The number of restarts.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        make: Callable[..., Search],
        center: Tensor,
        *,
        start: Literal["fresh", "best"] = "fresh",
        patience: int = 50,
        doublings: int = 9,
        seed: int = 0,
    ) -> None:
        check_choice("start", start, ("fresh", "best"))
        check_count("patience", patience, at_least=2)
        try:
            inspect.signature(make).bind(center=center, seed=seed, population=None)
        except TypeError as error:
            raise ValueError(f"make must take center, seed and population by their names, got {make!r}") from error
        check_count("doublings", doublings, at_least=0, at_most=20)
        self.inner = make(center=center, seed=seed)
        self.start, self.patience, self.doublings = start, patience, doublings
        self.generation = self.restarts = 0
        self.generator = torch.Generator().manual_seed(derive_seed(seed, Stream.RESTARTS))
        self.make = make
        self._seed = seed
        self._first = center.detach().clone()
        self._width = getattr(self.inner, "initial_std", torch.ones_like(center)).to(center)
        self._population = self.inner.population  # of the first search
        self._medians: list[float] = []  # of the scores of the present search's last generations, higher is better
        self.best_center = self._first.clone()
        self.best_median: float | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # which a copy does not have yet
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def center(self) -> Tensor:  # type: ignore[override]
        """(D,), the center of the present search."""
        return self.inner.center

    @property
    def resumable(self) -> bool:  # type: ignore[override]
        """As of the search."""
        return self.inner.resumable

    @property
    def noise_rank(self) -> int | None:  # type: ignore[override]
        """The rank of the noise in each matrix, if it is low."""
        return self.inner.noise_rank

    @property
    def auto(self) -> AutoRate | None:  # type: ignore[override]
        """What the learning rate follows if it is "auto"."""
        return self.inner.auto

    @property
    def matrices(self) -> int:  # type: ignore[override]
        """As of the search."""
        return self.inner.matrices

    @property
    def drawn(self) -> int:
        """Noise vectors that the largest generation holds in memory."""
        each = self.inner.drawn / self.inner.population
        return int(each * self._population * 2**self.doublings)

    def ask(self) -> Candidates:
        return self.inner.ask()

    @torch.no_grad()
    def tell(self, candidates: Candidates, scores: Tensor) -> Metrics:
        metrics = self.inner.tell(candidates, scores)
        self.generation += 1
        self._look(torch.as_tensor(scores, dtype=torch.float64).cpu())
        metrics |= {"search/population": float(self.inner.population)}
        if self._stands_still() or self._has_converged():
            self._restart()
        return metrics | {"search/restarts": float(self.restarts)}

    def _look(self, scores: Tensor) -> None:
        """Remember the median of the scores (N,) of a generation."""
        fine = scores[scores.isfinite()]
        if len(fine):
            middle = float(fine.median()) * (1 if self.inner.maximize else -1)
            self._medians = [*self._medians, middle][-2 * self.patience :]
            if self.best_median is None or middle > self.best_median:
                self.best_center, self.best_median = self.center.clone(), middle

    def _stands_still(self) -> bool:
        before, lately = self._medians[: self.patience], self._medians[self.patience :]
        return len(lately) == self.patience and median(lately) <= median(before)

    def _has_converged(self) -> bool:
        std, floor = getattr(self.inner, "std", None), getattr(self.inner, "min_std", 0.0)
        least = max(CONVERGED, floor * (1 + 1e-6) if floor <= LOW else 0.0)
        return isinstance(std, Tensor) and bool((std.to(self._width) <= least * self._width).all())

    def _restart(self) -> None:
        """Begin a new search."""
        self.restarts += 1
        center = self.best_center
        if self.start == "fresh":
            noise = torch.randn(len(self._first), generator=self.generator, dtype=torch.float64)
            center = self._first + self._width * noise.to(self._first)
            if self.inner.bounds is not None:
                center = self.inner.bounds.reflect(center)
        self.inner = self._new(center)
        self._medians = []

    def _new(self, center: Tensor) -> Search:
        """The search after so many restarts."""
        population = self._population * 2 ** min(self.restarts, self.doublings)
        seed = derive_seed(self._seed, Stream.RESTARTS, self.restarts)
        return self.make(center=center, seed=seed, population=population)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generation": self.generation,
            "restarts": self.restarts,
            "generator": self.generator.get_state(),
            "medians": list(self._medians),
            "best_center": self.best_center.clone(),
            "best_median": self.best_median,
            "inner": self.inner.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.keys() != self.state_dict().keys():
            raise ValueError(f"not the state of a search with restarts: it has {sorted(state)}")
        check_fields(state, FIELDS, FIELDS)
        if state["best_center"].shape != self._first.shape:
            raise ValueError(f"best_center should have shape {tuple(self._first.shape)}")
        self.restarts = state["restarts"]
        self.inner = self._new(self._first) if self.restarts else self.make(center=self._first, seed=self._seed)
        self.inner.load_state_dict(state["inner"])
        self.generation, self._medians = state["generation"], list(state["medians"])
        self.best_center, self.best_median = state["best_center"].to(self._first, copy=True), state["best_median"]
        self.generator.set_state(state["generator"])

    def _sample(self) -> Candidates:
        return self.inner._sample()

    def _update(self, candidates: Any, scores: Tensor) -> Metrics | None:
        return self.inner._update(candidates, scores)
