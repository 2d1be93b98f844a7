"""Covariance matrix adaptation.

Hansen (2016), "The CMA evolution strategy: a tutorial", arXiv 1604.00772, with weighted recombination and active
update. Numbers in parentheses are the tutorial's.
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.checks import check_range
from torchpolicy.base.types import Metrics
from torchpolicy.search.base import Search
from torchpolicy.vectors.adaptation import Paths, adaptation, mass_of
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.shaping import by_rank
from torchpolicy.vectors.std import check_std, clamp_std

LARGEST = 4000
"""The largest D: to decompose the covariance takes some 10 D^3 operations."""

NARROWEST = 1e-14
"""The least eigenvalue of C, in units of its largest."""


SHORTEST = 1e-100
"""The least length of a step that is divided by: candidates that are rounded may be the center."""


class CMAES(Search):
    """Learns the shape of the landscape as the covariance of a Gaussian, and its scale by the path of the center.

    Example::

        search = CMAES(torch.zeros(10), std=2.0, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    Candidates are center + scale std y_k with y_k ~ N(0, C); std is the first one, and C = I and scale = 1 at first.
    With the weights w_k and learning rates of :func:`torchpolicy.vectors.adaptation.adaptation`, w_k for the k-th best:

        y      =  sum_k max(w_k, 0) y_k                                             (41)
        center <- center + scale std y                                              (42)
        p_s    <- (1 - c_s) p_s + sqrt(c_s (2 - c_s) mu_eff) C^(-1/2) y             (43)
        scale  <- scale exp(c_s / d_s (|p_s| / E|N(0, I)| - 1))                     (44)
        p_c    <- (1 - c_c) p_c + h sqrt(c_c (2 - c_c) mu_eff) y                    (45)
        C      <- (1 - c_1 (1 - (1 - h) c_c (2 - c_c)) - c_mu sum_k w_k) C
                  + c_1 p_c p_c^T + c_mu sum_k v_k y_k y_k^T                        (47)

    Equal scores share the mean of their weights, so mu_eff is larger then.
    v_k is w_k where that is positive, and w_k D / |C^(-1/2) y_k|^2 otherwise (46). h is 0 while p_s is too long for C
    to learn from p_c, and 1 otherwise. C is decomposed again once enough of it is new. With `bounds`, negative weights
    are left out.

    It suits D of up to about 1,000; for longer vectors, :class:`SepCMA` learns the diagonal alone.

    Arguments that are not described here are those of every search, :class:`Search`.

    Args:
        center: (D,), where the search starts; D is at most 4000.
        population: P, the number of candidates in a generation. If not set, 4 + floor(3 ln D) for D weights, which
            suits scores without noise.
        std: Standard deviation of the first samples, one number or (D,).
        min_std: Floor of the standard deviation along each axis, in units of the first one.

    Attributes:
        scale: The scale, a number.
        covariance: (D, D) float64, the matrix C.
        paths: The paths p_s and p_c.
        initial_std: (D,) float64, standard deviation of the first samples.
    """

    matrices = 14

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
            seed=seed,
            maximize=maximize,
            weight_decay=weight_decay,
            bounds=bounds,
        )
        self.weight_decay = weight_decay
        if self.dim > LARGEST:
            raise ValueError(f"CMAES keeps a matrix of D x D, for D at most {LARGEST}, got {self.dim}: take SepCMA")
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.min_std = min_std
        self.initial_std = check_std(std, self.center).double()
        self.scale = 1.0
        self.covariance = torch.eye(self.dim).to(self.initial_std)
        self.axes, self.widths = self.covariance.clone(), torch.ones_like(self.initial_std)  # C = axes widths^2 axes^T
        self.age = 0  # generations since C was decomposed
        self.paths = Paths(self.widths)

    @property
    def std(self) -> Tensor:
        """Standard deviation along each axis, (D,) float64."""
        std: Tensor = self.scale * self.initial_std * self.covariance.diagonal().sqrt()
        return std

    def _sample(self) -> Tensor:
        noise = torch.randn(self.population, self.dim, generator=self.generator, dtype=torch.float64)
        steps = (noise.to(self.axes) * self.widths) @ self.axes.T  # y_k
        return (self.center + self.scale * self.initial_std * steps).to(self.center)

    def _update(self, candidates: Tensor, scores: Tensor) -> Metrics:
        rates = adaptation(len(scores), self.dim)
        better = by_rank(scores, rates.weights.clamp(min=0)).to(self.axes)  # max(w_k, 0)
        weights = better  # w_k
        if self.bounds is None:  # reflected candidates did not go the ways that would be unlearned
            weights = better + by_rank(scores, rates.weights.clamp(max=0)).to(self.axes)
        steps = (candidates.double() - self.center.double()) / (self.scale * self.initial_std)  # y_k
        lengths = torch.linalg.vector_norm(self._whiten(steps), dim=1)
        longest = sqrt(self.dim) + 6  # beyond chance: the candidates were rounded
        steps, lengths = steps * (longest / lengths).clamp(max=1)[:, None], lengths.clamp(SHORTEST, longest)
        mean = better @ steps  # (41)
        self.center = self.center + (self.scale * self.initial_std * mean).to(self.center)  # (42)
        stretch, learns = self.paths.follow(
            mean, self._whiten(mean), mass_of(better), rates, self.generation
        )  # (43), (45)
        signed = torch.where(weights < 0, weights * self.dim / lengths.square(), weights)  # v_k (46)
        kept = 1 - rates.kept_less(learns) - rates.rank_mu * float(weights.sum())
        path = torch.outer(self.paths.center_path, self.paths.center_path)
        learned = rates.rank_one * path + rates.rank_mu * (steps.T * signed) @ steps
        self.covariance = kept * self.covariance + learned  # (47)
        self.scale *= rates.growth(stretch)  # (44)
        at_floor = self._keep_within_bounds()
        self.age += 1
        if 10 * self.dim * self.age * (rates.rank_one + rates.rank_mu) >= 1:
            self._decompose()
        return {
            "search/std_mean": float(self.std.mean()),
            "search/std_floor": at_floor,
            "search/scale": self.scale,
            "search/gradient_norm": float(torch.linalg.vector_norm(mean)),
        }

    def _whiten(self, steps: Tensor) -> Tensor:
        """C^(-1/2) times steps, (D,) or (N, D)."""
        return (steps @ self.axes / self.widths) @ self.axes.T

    def _keep_within_bounds(self) -> float:
        """Widen or narrow the axes that are out of bounds; returns the share of those at the floor."""
        std = self.std
        clamped, at_floor = clamp_std(std, self.initial_std, self.min_std)
        if not torch.equal(clamped, std):
            factors = clamped / std
            self.covariance = self.covariance * torch.outer(factors, factors)
        return at_floor

    def _decompose(self) -> None:
        """Find axes and widths of C, whose least eigenvalues are lifted where they are too small to compute with."""
        self.covariance = (self.covariance + self.covariance.T) / 2
        values, axes = torch.linalg.eigh(self.covariance)
        self.axes = axes.contiguous()  # as a checkpoint brings them back: the order in memory is in the last bits
        lift = max(0.0, NARROWEST * float(values[-1]) - float(values[0]))
        self.covariance = self.covariance + lift * torch.eye(self.dim).to(self.covariance)
        self.widths = (values + lift).sqrt()
        self.age = 0

    def state_dict(self) -> dict[str, Any]:
        names = ("initial_std", "covariance", "axes", "widths")
        own: dict[str, Any] = {name: getattr(self, name).clone() for name in names}
        return super().state_dict() | own | {"scale": self.scale, "age": self.age, "paths": self.paths.state_dict()}
