"""Augmented random search.

Mania, Guy & Recht (2018), "Simple random search of static linear policies is competitive for
reinforcement learning".
"""

from math import inf

import torch
from torch import Tensor

from torchpolicy.base.checks import check_count, check_range
from torchpolicy.base.schedule import Geometric
from torchpolicy.base.types import Metrics
from torchpolicy.search.gaussian import GaussianSearch
from torchpolicy.vectors.bounds import Bound
from torchpolicy.vectors.noise import make_noise
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Candidates, Population
from torchpolicy.vectors.shaping import pair_differences


class ARS(GaussianSearch):
    """Steps along random directions, along each in proportion to how much its two ends differ in score.

    Example::

        search = ARS(torch.zeros(20), std=0.5, learning_rate=0.3, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With n pairs center +- std delta_i, delta_i ~ N(0, I), the b of them with the largest max(r+_i, r-_i),
    and sigma_R the standard deviation of these 2b scores:

        center <- center + learning_rate / (b sigma_R) sum_i (r+_i - r-_i) delta_i          (1)

    This is V1; ``normalize_observations`` of the run makes it V2, and fewer `top_directions` than pairs V1-t
    and V2-t. The paper's policies are linear without bias and start from zero:
    ``policy="linear", policy_args={"bias": False, "initial_scale": 0}``.

    Arguments that are not described here are those of every search, :class:`Search` and :class:`GaussianSearch`.

    Args:
        population: P = 2n, the number of candidates in a generation; even, because they come in mirrored pairs.
        top_directions: b, the number of pairs that the step is made of. If not set, all n of them.
        std: Standard deviation of the first samples, the paper's nu, one number or (D,).
        learning_rate: Learning rate, the paper's alpha. If not set, a fifth of the mean of std. Where std has a number
            for each weight, the step of each weight is in proportion to its std.
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
        top_directions: int | None = None,
        std: float | Tensor = 1.0,
        learning_rate: float | None = None,
        learning_rate_decay: float = 1.0,
        std_decay: float = 1.0,
        min_std: float = 0.01,
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
        if top_directions is not None and check_count("top_directions", top_directions, at_least=1) > population // 2:
            raise ValueError(f"top_directions must be at most half the population {population}, got {top_directions}")
        self._rate_factor = Geometric("learning_rate", learning_rate_decay)
        self._std_factor = Geometric("std", std_decay, min_std)
        if learning_rate is None:
            learning_rate = float(self.initial_std.mean()) / 5
        check_range("learning_rate", learning_rate, 0, inf, open_low=True)
        self.top_directions = top_directions
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.std_decay = std_decay
        self.min_std = min_std

    @property
    def std(self) -> Tensor:
        return self.initial_std * self._std_factor.at(self.generation)

    def _sample(self) -> Candidates:
        return self._draw(self.std)

    def _update(self, candidates: Population, scores: Tensor) -> Metrics | None:
        pairs = scores.view(-1, 2)  # (n, 2), r+ and r-
        top = self._top(pairs.amax(1))
        if (pairs[top] == pairs[top[0], 0]).all():
            return None
        weights = torch.zeros_like(pairs)
        weights[top] = pairs[top] / (len(top) * pairs[top].std(correction=0))  # r / (b sigma_R)
        deviations = candidates.weighted_sum(pair_differences(weights.flatten()))  # sum_i (r+ - r-) std delta
        rate = self.learning_rate * self._rate_factor.at(self.generation)
        self.center = self.center + rate * deviations / self.std.mean()  # (1)
        return {"search/std_mean": float(self.std.mean()), "search/top_directions": float(len(top))}

    def _top(self, best: Tensor) -> Tensor:
        """Indices of the directions to use, (b,), by their better scores (n,); of equal ones, any."""
        order = torch.randperm(len(best), generator=self.generator)
        return order[best[order].argsort(descending=True, stable=True)[: self.top_directions]]
