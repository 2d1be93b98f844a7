"""Exponential natural evolution strategies.

Glasmachers, Schaul, Sun, Wierstra & Schmidhuber (2010), "Exponential natural evolution strategies";
Wierstra et al. (2014), "Natural evolution strategies", section 3.4 and table 1.
"""

from math import inf, log, sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.base.checks import check_range
from torchpolicy.base.types import Metrics
from torchpolicy.search.base import Search
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.shaping import utilities
from torchpolicy.vectors.std import check_std, clamp_std

LARGEST = 2000
"""The largest D: a generation takes some matrix products of D x D."""

NARROWEST = 1e-12
"""The least width of A in its narrowest direction, in units of that in its widest one."""


class XNES(Search):
    """Moves center and shape of a Gaussian with full covariance A A^T along their natural gradients.

    Example::

        search = XNES(torch.zeros(10), std=2.0, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With candidates center + A s_k, s_k ~ N(0, I), and u_k the utility of the k-th best
    (:func:`torchpolicy.vectors.shaping.utilities`):

        center <- center + learning_rate A sum_k u_k s_k                            (1)
        A      <- A expm(shape_learning_rate / 2 G),   the matrix exponential       (2)
        G      =  sum_k u_k (s_k s_k^T - I)                                         (3)

    It suits D of up to about 1,000; for longer vectors, :class:`SNES` keeps the diagonal alone.

    Arguments that are not described here are those of every search, :class:`Search`.

    Args:
        center: (D,), where the search starts; D is at most 2000.
        population: P, the number of candidates in a generation. If not set, the paper's 4 + floor(3 ln D) for D
            weights, which suits scores without noise.
        std: Standard deviation of the first samples, one number or (D,); A begins as its diagonal matrix.
        learning_rate: Learning rate of the center. With auto it is a factor that follows the signal-to-noise ratio of
            the center's steps (Nomura et al. 2024), 1 at first; as it falls, the Gaussian gets wider.
        shape_learning_rate: Learning rate of the Gaussian's shape, A. If not set, the paper's
            (9 + 3 ln D) / (5 D sqrt D) for D weights.
        min_std: Floor of the standard deviation along each axis, in units of the first one.

    Attributes:
        transform: (D, D) float64, the matrix A.
        initial_std: (D,) float64, standard deviation of the first samples.
    """

    matrices = 25

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None = None,
        std: float | Tensor = 1.0,
        learning_rate: float | Literal["auto"] = 1.0,
        shape_learning_rate: float | None = None,
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
            raise ValueError(f"XNES keeps a matrix of D x D, for D at most {LARGEST}, got {self.dim}: take SNES")
        self.learning_rate = 1.0 if learning_rate == "auto" else learning_rate
        check_range("learning_rate", self.learning_rate, 0, inf, open_low=True)
        if shape_learning_rate is None:
            shape_learning_rate = (9 + 3 * log(self.dim)) / (5 * self.dim * sqrt(self.dim))
        check_range("shape_learning_rate", shape_learning_rate, 0, inf)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.shape_learning_rate = shape_learning_rate
        self.min_std = min_std
        self.initial_std = check_std(std, self.center).double()
        self.transform = self.initial_std.diag()
        self.auto = AutoRate(self.initial_std) if learning_rate == "auto" else None

    @property
    def std(self) -> Tensor:
        """Standard deviation along each axis, (D,) float64."""
        std: Tensor = torch.linalg.vector_norm(self.transform, dim=1)
        return std

    def _sample(self) -> Tensor:
        noise = torch.randn(self.population, self.dim, generator=self.generator, dtype=torch.float64)
        return (self.center + noise.to(self.center.device) @ self.transform.T).to(self.center)

    def _update(self, candidates: Tensor, scores: Tensor) -> Metrics:
        weights = utilities(scores).to(self.transform)  # u
        deviations = candidates.double() - self.center.double()
        noise = torch.linalg.solve(self.transform, deviations.T).T  # s, (N, D)
        lengths = torch.linalg.vector_norm(noise, dim=1, keepdim=True)
        rounded = lengths > sqrt(self.dim) + 6  # where A is narrower than the last bits of the candidates
        noise = noise * ((sqrt(self.dim) + 6) / lengths).clamp(max=1)
        gradient = (noise.T * weights) @ noise - weights.sum() * torch.eye(self.dim).to(noise)  # (3)
        rate, wider = self.learning_rate, 1.0
        if self.auto is not None:
            rate, wider = self.auto.follow(weights @ noise)
        step = rate * self.transform @ (weights @ noise)
        self.center = self.center + step.to(self.center)  # (1)
        self.transform = (
            wider * self.transform @ torch.linalg.matrix_exp(self.shape_learning_rate / 2 * gradient)
        )  # (2)
        if rounded.any():
            left, widths, right = torch.linalg.svd(self.transform)
            self.transform = left * widths.clamp(min=NARROWEST * float(widths[0])) @ right
        std, at_floor = clamp_std(self.std, self.initial_std, self.min_std)
        self.transform = self.transform * (std / self.std)[:, None]
        return {
            "search/std_mean": float(std.mean()),
            "search/std_floor": at_floor,
            "search/gradient_norm": float(torch.linalg.vector_norm(weights @ noise)),
            "search/learning_rate": rate,
        }

    def state_dict(self) -> dict[str, Any]:
        own = {"transform": self.transform.clone(), "initial_std": self.initial_std.clone()}
        return super().state_dict() | own
