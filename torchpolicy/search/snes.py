"""Separable natural evolution strategies.

Wierstra, Schaul, Glasmachers, Sun, Peters & Schmidhuber (2014), "Natural evolution strategies",
section 3.5 and table 1.
"""

from math import inf, log, sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.base.checks import check_range
from torchpolicy.base.types import Metrics
from torchpolicy.search.gaussian import GaussianSearch
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.shaping import utilities
from torchpolicy.vectors.std import clamp_std


class SNES(GaussianSearch):
    """Moves center and width of a diagonal Gaussian along their natural gradients.

    Example::

        search = SNES(torch.zeros(20), std=2.0, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With candidates center + std s_k, s_k ~ N(0, I), and u_k the utility of the k-th best
    (:func:`torchpolicy.vectors.shaping.utilities`):

        center <- center + learning_rate std sum_k u_k s_k                          (1)
        std    <- std exp(std_learning_rate / 2 sum_k u_k (s_k^2 - 1))              (2)

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    Args:
        population: P, the number of candidates in a generation. If not set, the paper's 4 + floor(3 ln D) for D
            weights, which suits scores without noise.
        learning_rate: Learning rate of the center. With auto it is a factor that follows the signal-to-noise ratio of
            the center's steps (Nomura et al. 2024), 1 at first; as it falls, the Gaussian gets wider.
        std_learning_rate: Learning rate of std. If not set, the paper's (3 + ln D) / (5 sqrt D) for D weights.
        min_std: Floor of std, in units of the first std.

    Attributes:
        std: (D,), standard deviation of the search distribution around `center`.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int | None = None,
        std: float | Tensor = 1.0,
        learning_rate: float | Literal["auto"] = 1.0,
        std_learning_rate: float | None = None,
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
        self.learning_rate = 1.0 if learning_rate == "auto" else learning_rate
        check_range("learning_rate", self.learning_rate, 0, inf, open_low=True)
        if std_learning_rate is None:
            std_learning_rate = (3 + log(self.dim)) / (5 * sqrt(self.dim))
        check_range("std_learning_rate", std_learning_rate, 0, inf)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.std_learning_rate = std_learning_rate
        self.min_std = min_std
        self.std = self.initial_std.clone()
        self.auto = AutoRate(self.center) if learning_rate == "auto" else None

    def _sample(self) -> Candidates:
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics:
        weights = utilities(scores)  # u
        first, second = candidates.weighted_sums(weights, weights)  # sum u std s, sum u (std s)^2
        exponent = self.std_learning_rate / 2 * (second / self.std**2 - float(weights.sum()))
        rate, wider = self.learning_rate, 1.0
        if self.auto is not None:
            rate, wider = self.auto.follow(first / self.std)
        self.center = self.center + rate * first  # (1)
        self.std, at_floor = clamp_std(self.std * exponent.exp() * wider, self.initial_std, self.min_std)  # (2)
        return {
            "search/std_mean": float(self.std.mean()),
            "search/std_floor": at_floor,
            "search/gradient_norm": float(torch.linalg.vector_norm(first / self.std)),
            "search/learning_rate": rate,
        }

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"std": self.std.clone()}
