"""Policy gradients with parameter-based exploration, by default with the optimizer ClipUp.

Sehnke, Osendorfer, Rueckstiess, Graves, Peters & Schmidhuber (2010), "Parameter-exploring policy gradients";
Toklu, Liskowski & Srivastava (2020), "ClipUp: a simple and powerful optimizer for distribution-based policy evolution".
"""

from collections.abc import Mapping
from math import inf, sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.base.checks import check_choice, check_range
from torchpolicy.base.schedule import Geometric
from torchpolicy.base.types import Metrics
from torchpolicy.search.gaussian import GaussianSearch
from torchpolicy.vectors.ascent import Ascent, OptimizerFactory, is_clipup
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.noise import make_noise
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.shaping import SHAPINGS, chance_of, pair_differences
from torchpolicy.vectors.std import clamp_std


class PGPE(GaussianSearch):
    """Follows the gradients of the expected score with respect to center and std of a diagonal Gaussian.

    Example::

        search = PGPE(torch.zeros(20), std=1.0, learning_rate_decay=0.99, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With n mirrored pairs center +- d_i, d_i ~ N(0, std^2), what their scores count for, U+_i and U-_i,
    and b the mean of all U:

        g      <- 1/n sum_i (U+_i - U-_i) / 2 d_i                                   (1)
        h      <- 1/n sum_i ((U+_i + U-_i) / 2 - b) (d_i^2 - std^2) / std           (2)
        center <- center + optimizer step g                                         (3)
        std    <- std + std_learning_rate h, by at most std_max_change std          (4)

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    g is a natural gradient, as long for each weight as its noise is wide. ClipUp keeps these proportions. Other
    optimizers, such as adam, would make steps of one length for all weights: they step for center / r, up g / r, with r
    the first std over its mean.

    Args:
        population: P, the number of candidates in a generation; even, because they come in mirrored pairs.
        learning_rate: Learning rate of the center's optimizer. If not set, |std| / 30 with clipup, whose fastest step
            is then |std| / 15, as in the paper. With another optimizer, the one whose first step is a fifth as long as
            the noise, or a twentieth as long if its steps grow with the gradient, as those of sgd do. With auto, it is
            that one times a factor that follows the signal-to-noise ratio of the gradient (Nomura et al. 2024).
        std_learning_rate: Learning rate of std.
        std_max_change: Largest change of an entry of std in a generation, as a share of that entry.
        baseline: What a score is compared with: the mean score, the mean in units of the scores' standard deviation
            (standardized), or the other scores by their order (ranks).
        optimizer: Optimizer of the center: clipup, or any class of torch.optim by its name; from Python also a
            callable from (parameters, lr=) to an optimizer.
        optimizer_args: Further arguments of the optimizer, such as betas for adam or momentum for sgd.
        learning_rate_decay: Factor that the learning rate is multiplied by after every generation.
        min_std: Floor of std, in units of the first std.
        noise_rank: Rank of the noise in each weight matrix, for large networks: all candidates then share one product
            with the center's matrix (in Python, `ask` then returns a `Population` instead of a tensor). If not set,
            every weight has noise of its own.
        slices: Where each tensor lies in the center, ``ParamVector(module).slices``; needed with `noise_rank`.

    Attributes:
        std: (D,), standard deviation of the search distribution around `center`.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int = 64,
        std: float | Tensor = 1.0,
        learning_rate: float | Literal["auto"] | None = None,
        std_learning_rate: float = 0.1,
        std_max_change: float = 0.2,
        baseline: Literal["mean", "standardized", "ranks"] = "ranks",
        optimizer: str | OptimizerFactory = "clipup",
        optimizer_args: Mapping[str, Any] | None = None,
        learning_rate_decay: float = 1.0,
        min_std: float = 1e-12,
        noise_rank: int | None = None,
        slices: Slices | None = None,
        weight_decay: float = 0.0,
        seed: int = 0,
        maximize: bool = True,
        bounds: tuple[Bound, Bound] | None = None,
    ) -> None:
        noise = make_noise(noise_rank, slices, mirrored=True)
        super().__init__(
            center,
            population=population,
            std=std,
            noise=noise,
            seed=seed,
            maximize=maximize,
            bounds=bounds,
            weight_decay=weight_decay,
        )
        self.weight_decay = weight_decay
        check_range("std_learning_rate", std_learning_rate, 0, inf)
        check_range("std_max_change", std_max_change, 0, 1)
        check_choice("baseline", baseline, SHAPINGS)
        self._rate_factor = Geometric("learning_rate", learning_rate_decay)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.std = self.initial_std.clone()
        self.std_learning_rate = std_learning_rate
        self.std_max_change = std_max_change
        self.baseline = baseline
        self.optimizer = optimizer
        self.optimizer_args = optimizer_args
        self.learning_rate_decay = learning_rate_decay
        self.min_std = min_std
        chance = chance_of(baseline, self.population)
        length = float(torch.linalg.vector_norm(self.initial_std / self._proportions))
        self.ascent = Ascent.with_default(
            optimizer,
            self.center,
            None if learning_rate == "auto" else learning_rate,
            optimizer_args,
            noise=length,
            chance=None if chance is None else chance * length / sqrt(self.dim * self.population),
            candidates=self.population,
        )
        self.learning_rate = self.ascent.learning_rate
        self.auto = AutoRate(self.center) if learning_rate == "auto" else None

    def _sample(self) -> Candidates:
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics:
        weights = SHAPINGS[self.baseline](scores)  # U
        over_mean = weights - weights.mean()  # U - b
        first, second = candidates.weighted_sums(pair_differences(weights), over_mean)
        gradient = first / len(weights)  # (1), half of the sum over both sides, for n = N / 2 pairs
        std_gradient = (second / len(weights) - float(over_mean.mean()) * self.std**2) / self.std  # (2)
        rate = self.learning_rate * self._rate_factor.at(self.generation)
        if self.auto is not None:
            rate *= self.auto.follow(gradient / self.std)[0]
        r = self._proportions
        self.center = self.ascent.step(self.center / r, gradient / r, rate) * r  # (3)
        limit = self.std_max_change * self.std
        change = (self.std_learning_rate * std_gradient).clamp(-limit, limit)
        self.std, at_floor = clamp_std(self.std + change, self.initial_std, self.min_std)  # (4)
        return {
            "search/std_mean": float(self.std.mean()),
            "search/std_floor": at_floor,
            "search/gradient_norm": float(torch.linalg.vector_norm(gradient)),
            "search/learning_rate": rate,
        }

    @property
    def _proportions(self) -> Tensor:
        """r, (D,); the number 1, (), if the optimizer keeps the gradient's proportions itself."""
        if is_clipup(self.optimizer):
            return self.initial_std.new_ones(())
        return self.initial_std / self.initial_std.mean()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"std": self.std.clone(), "ascent": self.ascent.state_dict()}
