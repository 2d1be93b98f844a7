"""Policy gradients with parameter-based exploration, by default with ClipUp.

Sehnke, Osendorfer, Rueckstiess, Graves, Peters & Schmidhuber (2010), "Parameter-exploring policy gradients";
Toklu, Liskowski & Srivastava (2020), "ClipUp: a simple and powerful optimizer for distribution-based policy evolution".
"""

from math import inf, sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.ascent import Ascent, OptimizerFactory, is_clipup
from torchpolicy.checks import check_choice, check_range
from torchpolicy.gaussian import weighted_sums
from torchpolicy.params import Slices
from torchpolicy.population import Population
from torchpolicy.search.base import Metrics, Search, clamp_std
from torchpolicy.shaping import SHAPINGS, chance_of, pair_differences


class PGPE(Search):
    """Follows the gradients of the expected score with respect to center and std of a diagonal Gaussian.

    Example::

        search = PGPE(torch.zeros(20), std=1.0, learning_rate_decay=0.99, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With n mirrored pairs center +- d_i, d_i ~ N(0, std^2), what their scores count for, U+_i and U-_i,
    and b the mean of all U:

        g      <- 1/n sum_i (U+_i - U-_i) / 2 d_i
        h      <- 1/n sum_i ((U+_i + U-_i) / 2 - b) (d_i^2 - std^2) / std
        center <- center + optimizer step g
        std    <- std + std_learning_rate h, by at most std_max_change std

    g is a natural gradient, as long for each weight as its noise is wide. ClipUp keeps these proportions. Other
    optimizers, such as adam, would make steps of one length for all weights: they step for center / r, up g / r, with r
    the first std over its mean.

    Args:
        center: (D,), where the search starts.
        population: P, candidates a generation; even.
        std: First standard deviation, one number or (D,).
        learning_rate: Learning rate of the center's optimizer. None: with clipup |std| / 30, whose fastest step is
            twice as long, the paper's ratio of 15 between |std| and the maximum speed; with others the one whose
            first step is a fifth as long as the noise (a twentieth with sgd and others whose steps grow with the
            gradient).
        std_learning_rate: Of std.
        std_max_change: Share of itself that an entry of std may change by in a generation.
        baseline: What a score is compared with: mean, standardized or ranks.
        optimizer: clipup, or any class of torch.optim by its name; from Python also a callable from
            (parameters, lr=) to an optimizer.
        learning_rate_decay: Factor of the learning rate, every generation.
        min_std: Floor of std, in units of the first std.
        noise_rank: Rank of the noise in each matrix, for large networks: then all candidates share one product with
            the center's matrix, and `ask` returns a `Population`. None: noise of its own for each number.
        slices: Where each tensor lies in the center, ``ParamVector(module).slices``, for `noise_rank`.
        seed: Of the search's own random stream.
        maximize: Whether higher scores are better.

    Attributes:
        std: (D,), of the search distribution around `center`.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int = 64,
        std: float | Tensor = 1.0,
        learning_rate: float | None = None,
        std_learning_rate: float = 0.1,
        std_max_change: float = 0.2,
        baseline: Literal["mean", "standardized", "ranks"] = "ranks",
        optimizer: str | OptimizerFactory = "clipup",
        learning_rate_decay: float = 1.0,
        min_std: float = 1e-8,
        noise_rank: int | None = None,
        slices: Slices | None = None,
        seed: int = 0,
        maximize: bool = True,
    ) -> None:
        super().__init__(
            center,
            population=population,
            seed=seed,
            maximize=maximize,
            mirrored=True,
            slices=slices,
            noise_rank=noise_rank,
        )
        check_range("std_learning_rate", std_learning_rate, 0, inf)
        check_range("std_max_change", std_max_change, 0, 1)
        check_choice("baseline", baseline, SHAPINGS)
        check_range("learning_rate_decay", learning_rate_decay, 0, 1, open_low=True)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.initial_std = self._check_std(std)
        self.std = self.initial_std.clone()
        self.std_learning_rate = std_learning_rate
        self.std_max_change = std_max_change
        self.baseline = baseline
        self.optimizer = optimizer
        self.learning_rate_decay = learning_rate_decay
        self.min_std = min_std
        chance = chance_of(baseline, self.population)
        length = float(torch.linalg.vector_norm(self.initial_std / self._proportions))
        self.ascent = Ascent.with_default(
            optimizer,
            self.center,
            learning_rate,
            noise=length,
            chance=None if chance is None else chance * length / sqrt(self.dim * self.population),
            candidates=self.population,
        )
        self.learning_rate = self.ascent.learning_rate

    def _sample(self) -> Tensor | Population:
        return self._draw(self.std)

    def _update(self, candidates: Tensor | Population, scores: Tensor) -> Metrics:
        weights = SHAPINGS[self.baseline](scores)
        over_mean = weights - weights.mean()  # U - b
        first, second = weighted_sums(candidates, self.center, pair_differences(weights), over_mean)
        gradient = first / len(weights)  # half of the sum over both sides, for n = N / 2 pairs
        std_gradient = (second / len(weights) - float(over_mean.mean()) * self.std**2) / self.std
        step = self.learning_rate * self.learning_rate_decay**self.generation
        proportions = self._proportions
        scaled = self.center / proportions
        self.center = self.ascent.step(scaled, gradient / proportions, step) * proportions
        limit = self.std_max_change * self.std
        change = (self.std_learning_rate * std_gradient).clamp(-limit, limit)
        self.std, at_floor = clamp_std(self.std + change, self.initial_std, self.min_std)
        return {
            "search/std_mean": float(self.std.mean()),
            "search/std_floor": at_floor,
            "search/gradient_norm": float(torch.linalg.vector_norm(gradient)),
        }

    @property
    def _proportions(self) -> Tensor:
        """r, (D,), or 1 (), for an optimiser that keeps the gradient's proportions itself."""
        if is_clipup(self.optimizer):
            return self.initial_std.new_ones(())
        return self.initial_std / self.initial_std.mean()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "std": self.std.clone(),
            "initial_std": self.initial_std.clone(),
            "ascent": self.ascent.state_dict(),
        }
