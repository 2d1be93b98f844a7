"""Covariance matrix adaptation of the diagonal.

Ros & Hansen (2008), "A simple modification in CMA-ES achieving linear time and space complexity". Numbers in
parentheses are those of Hansen's tutorial (2016), arXiv 1604.00772.
"""

from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.checks import check_range
from torchpolicy.base.types import Metrics
from torchpolicy.search.gaussian import GaussianSearch
from torchpolicy.vectors.adaptation import Paths, adaptation, mass_of
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.shaping import by_rank
from torchpolicy.vectors.std import clamp_std


class SepCMA(GaussianSearch):
    """Learns the width along each axis as CMA-ES learns a covariance, for vectors of any length.

    Example::

        search = SepCMA(torch.zeros(20), std=2.0, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    Candidates are center + scale std sqrt(c) z_k with z_k ~ N(0, I); std is the first one, and c = 1 and scale = 1 at
    first. The equations are those of :class:`CMAES` with the diagonal c (D,) in the place of C. There are no negative
    weights, and c's learning rates are (D + 2) / 3 times as large.

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    Args:
        population: P, the number of candidates in a generation. If not set, 4 + floor(3 ln D) for D weights, which
            suits scores without noise.
        min_std: Floor of std, in units of the first std.

    Attributes:
        scale: The scale, a number.
        variances: (D,), c.
        paths: The paths p_s and p_c.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None = None,
        std: float | Tensor = 1.0,
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
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.min_std = min_std
        self.scale = 1.0
        self.variances = torch.ones_like(self.initial_std)
        self.paths = Paths(self.initial_std)

    @property
    def std(self) -> Tensor:
        """Standard deviation of the search distribution around `center`, (D,)."""
        return self.scale * self.initial_std * self.variances.sqrt()

    def _sample(self) -> Candidates:
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics:
        rates = adaptation(len(scores), self.dim, diagonal=True)
        weights = by_rank(scores, rates.weights)  # w_k
        unit = self.scale * self.initial_std
        moved, squares = candidates.weighted_sums(weights, weights)  # of scale std y_k
        mean = moved / unit  # (41)
        whitened = mean / self.variances.sqrt()
        self.center = self.center + moved  # (42)
        stretch, learns = self.paths.follow(mean, whitened, mass_of(weights), rates, self.generation)  # (43), (45)
        learned = rates.rank_one * self.paths.center_path.square() + rates.rank_mu * squares / unit.square()
        self.variances = (1 - rates.kept_less(learns) - rates.rank_mu) * self.variances + learned  # (47)
        self.scale *= rates.growth(stretch)  # (44)
        std, at_floor = clamp_std(self.std, self.initial_std, self.min_std)
        self.variances = (std / (self.scale * self.initial_std)).square()
        return {
            "search/std_mean": float(std.mean()),
            "search/std_floor": at_floor,
            "search/scale": self.scale,
            "search/gradient_norm": float(torch.linalg.vector_norm(whitened)),
        }

    def state_dict(self) -> dict[str, Any]:
        own = {"variances": self.variances.clone(), "scale": self.scale, "paths": self.paths.state_dict()}
        return super().state_dict() | own
