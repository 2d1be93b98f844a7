"""Natural evolution strategies with an isotropic Gaussian of given width.

Wierstra, Schaul, Glasmachers, Sun, Peters & Schmidhuber (2014), "Natural evolution strategies";
Salimans, Ho, Chen, Sidor & Sutskever (2017), "Evolution strategies as a scalable alternative to
reinforcement learning".
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
from torchpolicy.vectors.ascent import Ascent, OptimizerFactory
from torchpolicy.vectors.auto_rate import AutoRate
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.gaussian import draw
from torchpolicy.vectors.noise import make_noise
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.shaping import SHAPINGS, chance_of, pair_differences


class NES(GaussianSearch):
    """Follows the gradient of the expected score of a Gaussian around the center, estimated from its samples.

    Example::

        search = NES(torch.zeros(20), std=0.5, learning_rate=0.2, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With candidates center + std eps_i, eps_i ~ N(0, I), and u_i what their scores f_i count for:

        gradient <- 1/N sum_i u_i eps_i / std                                       (1)
        center   <- center + optimizer step (gradient - weight_decay center)        (2)

    `baseline` says what a score counts for, u: f_i - f(center) (the plain formula; the first candidate is
    the center then), f_i less the mean, standardized, or the centered rank in [-1/2, 1/2]. The plain
    formula is ``baseline="center", mirrored=False, optimizer="sgd"``. OpenAI-ES is ``baseline="ranks",
    mirrored=True, optimizer="adam", learning_rate=0.01, std=0.02, weight_decay=0.25``: its own gradient is
    not divided by std, so that its weight decay of 0.005 is 0.005 / 0.02 here.

    Where std has a number for each weight, all of this is done for center / r, with r = std over its mean: a natural
    gradient, whose steps are as long for each weight as its noise is wide, instead of the same for all.

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    Args:
        population: P, the number of candidates in a generation. It must be even if they are mirrored.
        learning_rate: Learning rate of the optimizer, in units of the weights. If not set, the one whose first step is
            a fifth as long as the noise: a fifth of the mean of std with adam. (The first step is a twentieth as long
            with sgd and others whose steps grow with the gradient, and a thirtieth with clipup.) With auto, it is that
            one times a factor that follows the signal-to-noise ratio of the gradient (Nomura et al. 2024).
        baseline: What a score is compared with: the score of the center, the mean score, the mean in units of the
            scores' standard deviation (standardized), or the other scores by their order (ranks).
        mirrored: Whether candidates come in pairs: the same noise is added to the center and subtracted from it.
        optimizer: Optimizer of the center: clipup, or any class of torch.optim by its name; from Python also a
            callable from (parameters, lr=) to an optimizer.
        optimizer_args: Further arguments of the optimizer, such as betas for adam or momentum for sgd.
        weight_decay: Pull of the center towards 0, in units of the gradient.
        learning_rate_decay: Factor that the learning rate is multiplied by after every generation.
        std_decay: Factor that std is multiplied by after every generation.
        min_std: Floor of a std that decays, in units of the first std.
        noise_rank: Rank of the noise in each weight matrix, for large networks: all candidates then share one product
            with the center's matrix (in Python, `ask` then returns a `Population` instead of a tensor). If not set,
            every weight has noise of its own.
        slices: Where each tensor lies in the center, ``ParamVector(module).slices``; needed with `noise_rank`.

    Attributes:
        std: (D,), standard deviation of the next samples.
    """

    def __init__(
        self,
        center: Tensor,
        *,
        population: int = 64,
        std: float | Tensor = 1.0,
        learning_rate: float | Literal["auto"] | None = None,
        baseline: Literal["center", "mean", "standardized", "ranks"] = "ranks",
        mirrored: bool = True,
        optimizer: str | OptimizerFactory = "adam",
        optimizer_args: Mapping[str, Any] | None = None,
        weight_decay: float = 0.0,
        learning_rate_decay: float = 1.0,
        std_decay: float = 1.0,
        min_std: float = 0.01,
        noise_rank: int | None = None,
        slices: Slices | None = None,
        seed: int = 0,
        maximize: bool = True,
        bounds: tuple[Bound, Bound] | None = None,
    ) -> None:
        noise = make_noise(noise_rank, slices, mirrored=mirrored)
        super().__init__(
            center, population=population, std=std, noise=noise, seed=seed, maximize=maximize, bounds=bounds
        )
        check_choice("baseline", baseline, ["center", *SHAPINGS])
        if baseline == "center" and mirrored:
            raise ValueError("baseline 'center' cancels out in mirrored pairs: take mirrored=False with it")
        if baseline == "center" and noise_rank is not None:
            raise ValueError("baseline 'center' has no noise_rank: take mean, standardized or ranks with it")
        check_range("weight_decay", weight_decay, 0, inf)
        self._rate_factor = Geometric("learning_rate", learning_rate_decay)
        self._std_factor = Geometric("std", std_decay, min_std)
        self.baseline = baseline
        self.optimizer = optimizer
        self.optimizer_args = optimizer_args
        self.weight_decay = weight_decay
        self.learning_rate_decay = learning_rate_decay
        self.std_decay = std_decay
        self.min_std = min_std
        mean_std, chance = float(self.initial_std.mean()), chance_of(baseline, self.population)
        self.ascent = Ascent.with_default(
            optimizer,
            self.center,
            None if learning_rate == "auto" else learning_rate,
            optimizer_args,
            noise=mean_std * sqrt(self.dim),
            chance=None if chance is None else chance / (sqrt(self.population) * mean_std),
            candidates=self.population,
        )
        self.learning_rate = self.ascent.learning_rate
        self.auto = AutoRate(self.center) if learning_rate == "auto" else None

    @property
    def std(self) -> Tensor:
        return self.initial_std * self._std_factor.at(self.generation)

    def _sample(self) -> Candidates:
        if self.baseline == "center":
            return torch.cat([self.center[None], draw(self.center, self.std, self.population - 1, self.generator)])
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics | None:
        if self.baseline != "center":
            weights = SHAPINGS[self.baseline](scores)  # u
        elif torch.equal(candidates[0].dense()[0], self.center):
            candidates, weights = candidates[1:], scores[1:] - scores[0]
        else:  # the center failed
            return None
        if self.mirrored:
            weights = pair_differences(weights)
        deviations = candidates.weighted_sum(weights)  # sum_i u_i std eps_i
        r = self.initial_std / self.initial_std.mean()
        gradient = deviations / (len(weights) * self.std * self.std.mean())  # (1), with respect to center / r
        rate = self.learning_rate * self._rate_factor.at(self.generation)
        if self.auto is not None:
            rate *= self.auto.follow(gradient * self.std.mean())[0]
        scaled, decay = self.center / r, self.weight_decay * self.center * r
        self.center = self.center + r * (self.ascent.step(scaled, gradient - decay, rate) - scaled)  # (2)
        return {
            "search/std_mean": float(self.std.mean()),
            "search/gradient_norm": float(torch.linalg.vector_norm(gradient)),
            "search/learning_rate": rate,
        }

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"ascent": self.ascent.state_dict()}
