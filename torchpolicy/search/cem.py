"""The cross-entropy method with noise.

Rubinstein (1999), "The cross-entropy method for combinatorial and continuous optimization";
Szita & Lorincz (2006), "Learning Tetris using the noisy cross-entropy method".
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.checks import check_range
from torchpolicy.base.schedule import Linear
from torchpolicy.base.types import Metrics
from torchpolicy.search.gaussian import GaussianSearch
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.gaussian import mean_and_variance
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.std import SMALLEST

SLOWEST, FASTEST = 0.1, 0.2
"""Bounds of the rate at which std follows the elite's, where no smoothing is set."""


class CEM(GaussianSearch):
    """Fits a diagonal Gaussian to the best of its own samples, generation after generation.

    Example::

        search = CEM(torch.zeros(20), std=2.0, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    Each generation, with elite the best K = max(2, round(elite_fraction N)) of N candidates,
    ties broken at random:

        mean <- s_m mean + (1 - s_m) mean(elite)                  s_m = smoothing            (1)
        std  <- s std + (1 - s) sqrt(var(elite) + Z_t)            s = std_smoothing          (2)
        Z_t  =  max(Z_0 - t decay, 0)                             Z_0 = extra_variance       (3)

    The variance is the unbiased one: that of few elites is too small otherwise, a shrinkage by itself.
    Refitting std at once (s = 0, the textbook's form) shrinks it faster than the mean can travel,
    and the search stops short of an optimum a few std away. Hence s is large, and larger still along
    those axes on which the mean is travelling. Unless `std_smoothing` is set,

        s    =  1 - rate max(0, 1 - 2 m^2),                   m = (mean(elite) - mean) / std (4)
        rate =  K / (K + 8 sqrt D), but between 0.1 and 0.2                                  (5)

    for D weights, with the mean and the std that the candidates were drawn with. The fewer elites a std is
    estimated from, and the more weights there are, the more generations are averaged.

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    Args:
        elite_fraction: Share of the candidates that form the elite: the best ones, to which the Gaussian is fitted.
        extra_variance: Variance that is added to that of the elite, in units of the first variance. It keeps a noisy
            search from freezing too early. (Szita & Lorincz: 0.04 constant, or 0.05 decreasing.)
        extra_variance_decay: Amount that the extra variance loses in every generation until none is left. With a
            decay of 0 it stays constant. (Szita & Lorincz: 0.001.)
        smoothing: Share of the old mean in the new one.
        std_smoothing: Share of the old std in the new one. If not set, between 0.8 and 0.9, depending on the number of
            elites and weights, and up to 1 for a weight whose mean is moving.
        min_std: Floor of std, in units of the first std.

    Attributes:
        std: (D,), standard deviation of the search distribution around `center`.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int = 64,
        elite_fraction: float = 0.2,
        std: float | Tensor = 1.0,
        extra_variance: float = 0.0,
        extra_variance_decay: float = 0.0,
        smoothing: float = 0.0,
        std_smoothing: float | None = None,
        min_std: float = 1e-12,
        weight_decay: float = 0.0,
        seed: int = 0,
        maximize: bool = True,
        bounds: tuple[Bound, Bound] | None = None,
    ) -> None:
        super().__init__(
            center,
            population=population,
            std=std,
            seed=seed,
            maximize=maximize,
            bounds=bounds,
            weight_decay=weight_decay,
        )
        self.weight_decay = weight_decay
        check_range("elite_fraction", elite_fraction, 0, 1, open_low=True)
        self._extra = Linear("extra_variance", extra_variance, extra_variance_decay)
        check_range("smoothing", smoothing, 0, 1)
        if std_smoothing is not None:
            check_range("std_smoothing", std_smoothing, 0, 1)
        check_range("min_std", min_std, 0, 1)
        self.elite_fraction = elite_fraction
        self.extra_variance = extra_variance
        self.extra_variance_decay = extra_variance_decay
        self.smoothing = smoothing
        self.std_smoothing = std_smoothing
        self.min_std = min_std
        self.std = self.initial_std.clone()

    def _sample(self) -> Candidates:
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics:
        size = max(2, round(self.elite_fraction * len(scores)))
        mean, variance = mean_and_variance(candidates.dense(), self._elite(scores, size))
        extra = self._extra.at(self.generation) * self.initial_std**2  # (3)
        kept: float | Tensor = self._kept(mean, size) if self.std_smoothing is None else self.std_smoothing
        self.center = torch.lerp(mean, self.center, self.smoothing)  # (1)
        floor = self.min_std * self.initial_std
        self.std = torch.lerp((variance + extra).sqrt(), self.std, kept).clamp(min=floor)  # (2)
        return {
            "search/elite_size": float(size),
            "search/std_mean": float(self.std.mean()),
            "search/std_floor": float((self.std == floor).double().mean()),
        }

    def _kept(self, mean: Tensor, size: int) -> Tensor:
        """s, (D,), for an elite of K = `size` with its mean (D,)."""
        rate = min(max(size / (size + 8 * sqrt(self.dim)), SLOWEST), FASTEST)  # (5)
        moved = (mean - self.center) / self.std.clamp(min=SMALLEST)  # m
        return 1 - rate * (1 - 2 * moved.square()).clamp(min=0)  # (4)

    def _elite(self, scores: Tensor, size: int) -> Tensor:
        """Rows of the `size` highest scores, (K,), ties in random order."""
        order = torch.randperm(len(scores), generator=self.generator)
        order = order[scores[order] >= scores.kthvalue(len(scores) - size + 1).values]  # the others need no sorting
        return order[scores[order].argsort(descending=True, stable=True)[:size]]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"std": self.std.clone()}
