"""Natural evolution strategies with an isotropic Gaussian of given width.

Wierstra, Schaul, Glasmachers, Sun, Peters & Schmidhuber (2014), "Natural evolution strategies";
Salimans, Ho, Chen, Sidor & Sutskever (2017), "Evolution strategies as a scalable alternative to
reinforcement learning".
"""

from math import inf, sqrt
from typing import Any, Literal

import torch
from torch import Tensor

from torchpolicy.ascent import Ascent, OptimizerFactory
from torchpolicy.checks import check_choice, check_range
from torchpolicy.gaussian import draw, weighted_sum
from torchpolicy.params import Slices
from torchpolicy.population import Population
from torchpolicy.search.base import Metrics, Search
from torchpolicy.shaping import SHAPINGS, chance_of, pair_differences


class NES(Search):
    """Follows the gradient of the expected score of a Gaussian around the center, estimated from its samples.

    Example::

        search = NES(torch.zeros(20), std=0.5, learning_rate=0.2, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With candidates center + std eps_i, eps_i ~ N(0, I), and their scores f_i:

        gradient <- 1/N sum_i u_i eps_i / std
        center   <- center + optimizer step (gradient - weight_decay center)

    What a score counts for, u, is told by `baseline`: f_i - f(center) (the plain formula; the first
    candidate is the center then), f_i less the mean, standardized, or the centered rank in
    [-1/2, 1/2]. The plain formula is ``baseline="center", mirrored=False, optimizer="sgd"``. OpenAI-ES is
    ``baseline="ranks", mirrored=True, optimizer="adam", learning_rate=0.01, std=0.02, weight_decay=0.25``: its own
    gradient is not divided by std, so that its weight decay of 0.005 is 0.005 / 0.02 here.

    Where std has a number for each weight, all of this is done for center / r, with r = std over its mean: a natural
    gradient, whose steps are as long for each weight as its noise is wide, instead of the same for all.

    Args:
        center: (D,), where the search starts.
        population: P, candidates a generation; even with mirrored pairs.
        std: Standard deviation of the samples, one number or (D,).
        learning_rate: Learning rate of the optimizer, in units of the weights. None: the one whose first step is a
            fifth as long as the noise: a fifth of the mean of std with adam. (A twentieth with sgd and others whose
            steps grow with the gradient, a thirtieth with clipup.)
        baseline: What a score is compared with: center, mean, standardized or ranks.
        mirrored: Sample in pairs, center + std eps and center - std eps.
        optimizer: Any class of torch.optim by its name, or clipup; from Python also a callable from
            (parameters, lr=) to an optimizer.
        weight_decay: Pull of the center towards 0, in units of the gradient.
        learning_rate_decay: Factor of the learning rate, every generation.
        std_decay: Factor of std, every generation.
        min_std: Floor of a std that decays, in units of the first std.
        noise_rank: Rank of the noise in each matrix, for large networks: then all candidates share one product with
            the center's matrix, and `ask` returns a `Population`. None: noise of its own for each number.
        slices: Where each tensor lies in the center, ``ParamVector(module).slices``, for `noise_rank`.
        seed: Of the search's own random stream.
        maximize: Whether higher scores are better.

    Attributes:
        std: (D,), of the next samples.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int = 64,
        std: float | Tensor = 1.0,
        learning_rate: float | None = None,
        baseline: Literal["center", "mean", "standardized", "ranks"] = "ranks",
        mirrored: bool = True,
        optimizer: str | OptimizerFactory = "adam",
        weight_decay: float = 0.0,
        learning_rate_decay: float = 1.0,
        std_decay: float = 1.0,
        min_std: float = 0.01,
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
            mirrored=mirrored,
            slices=slices,
            noise_rank=noise_rank,
        )
        check_choice("baseline", baseline, ["center", *SHAPINGS])
        if baseline == "center" and mirrored:
            raise ValueError("baseline 'center' cancels out in mirrored pairs: take mirrored=False with it")
        if baseline == "center" and noise_rank is not None:
            raise ValueError("baseline 'center' has no noise_rank: take mean, standardized or ranks with it")
        check_range("weight_decay", weight_decay, 0, inf)
        check_range("learning_rate_decay", learning_rate_decay, 0, 1, open_low=True)
        check_range("std_decay", std_decay, 0, 1, open_low=True)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.initial_std = self._check_std(std)
        self.baseline = baseline
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.learning_rate_decay = learning_rate_decay
        self.std_decay = std_decay
        self.min_std = min_std
        mean_std, chance = float(self.initial_std.mean()), chance_of(baseline, self.population)
        self.ascent = Ascent.with_default(
            optimizer,
            self.center,
            learning_rate,
            noise=mean_std * sqrt(self.dim),
            chance=None if chance is None else chance / (sqrt(self.population) * mean_std),
            candidates=self.population,
        )
        self.learning_rate = self.ascent.learning_rate

    @property
    def std(self) -> Tensor:
        return self.initial_std * max(self.std_decay**self.generation, self.min_std)

    def _sample(self) -> Tensor | Population:
        if self.baseline == "center":
            return torch.cat([self.center[None], draw(self.center, self.std, self.population - 1, self.generator)])
        return self._draw(self.std)

    def _update(self, candidates: Tensor | Population, scores: Tensor) -> Metrics | None:
        if self.baseline != "center":
            weights = SHAPINGS[self.baseline](scores)
        elif isinstance(candidates, Tensor) and torch.equal(candidates[0], self.center):
            candidates, weights = candidates[1:], scores[1:] - scores[0]
        else:  # the center failed
            return None
        if self.mirrored:
            weights = pair_differences(weights)
        deviations = weighted_sum(candidates, self.center, weights)  # sum_i u_i std eps_i
        gradient = deviations / (len(weights) * self.std * self.std.mean())  # with respect to center / r
        proportions = self._proportions
        scaled, decay = self.center / proportions, self.weight_decay * self.center * proportions
        step = self.learning_rate * self.learning_rate_decay**self.generation
        self.center = self.center + proportions * (self.ascent.step(scaled, gradient - decay, step) - scaled)
        return {
            "search/std_mean": float(self.std.mean()),
            "search/gradient_norm": float(torch.linalg.vector_norm(gradient)),
        }

    @property
    def _proportions(self) -> Tensor:
        """r, (D,): std over its mean."""
        return self.initial_std / self.initial_std.mean()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"initial_std": self.initial_std.clone(), "ascent": self.ascent.state_dict()}
