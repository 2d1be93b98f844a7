"""Augmented random search.

Mania, Guy & Recht (2018), "Simple random search of static linear policies is competitive for
reinforcement learning".
"""

from math import inf
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.checks import check_count, check_range
from torchpolicy.base.types import Metrics
from torchpolicy.search.base import Search
from torchpolicy.vectors.gaussian import weighted_sum
from torchpolicy.vectors.low_rank import Population
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.shaping import pair_differences


class ARS(Search):
    """Steps along random directions, each as far as its two ends differ in score.

    Example::

        search = ARS(torch.zeros(20), std=0.5, learning_rate=0.3, maximize=False)
        for _ in range(300):
            candidates = search.ask()
            search.tell(candidates, ((candidates - 3) ** 2).sum(1))
        print(search.center)

    With n pairs center +- std delta_i, delta_i ~ N(0, I), the b of them with the largest max(r+_i, r-_i),
    and sigma_R the standard deviation of these 2b scores:

        center <- center + learning_rate / (b sigma_R) sum_i (r+_i - r-_i) delta_i

    This is V1; ``normalize_observations`` of the run makes it V2, and fewer `top_directions` than pairs V1-t
    and V2-t. The paper's policies are linear without bias and start from zero:
    ``policy="linear", policy_args={"bias": False, "initial_scale": 0}``.

    Args:
        center: (D,), where the search starts.
        population: P = 2n, candidates a generation; even.
        top_directions: b. None: all n.
        std: nu, standard deviation of the samples, one number or (D,).
        learning_rate: Alpha. None: a fifth of the mean of std. Where std has a number for each dimension,
            steps are in its proportions, delta times std over its mean.
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
        top_directions: int | None = None,
        std: float | Tensor = 1.0,
        learning_rate: float | None = None,
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
            mirrored=True,
            slices=slices,
            noise_rank=noise_rank,
        )
        if top_directions is not None and check_count("top_directions", top_directions, at_least=1) > population // 2:
            raise ValueError(f"top_directions must be at most half the population {population}, got {top_directions}")
        check_range("learning_rate_decay", learning_rate_decay, 0, 1, open_low=True)
        check_range("std_decay", std_decay, 0, 1, open_low=True)
        check_range("min_std", min_std, 0, 1, open_low=True)
        self.initial_std = self._check_std(std)
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
        return self.initial_std * max(self.std_decay**self.generation, self.min_std)

    def _sample(self) -> Tensor | Population:
        return self._draw(self.std)

    def _update(self, candidates: Tensor | Population, scores: Tensor) -> Metrics | None:
        pairs = scores.view(-1, 2)  # (n, 2), r+ and r-
        top = self._top(pairs.amax(1))
        if (pairs[top] == pairs[top[0], 0]).all():
            return None
        weights = torch.zeros_like(pairs)
        weights[top] = pairs[top] / (len(top) * pairs[top].std(correction=0))
        deviations = weighted_sum(candidates, self.center, pair_differences(weights.flatten()))  # (r+ - r-) std delta
        step = self.learning_rate * self.learning_rate_decay**self.generation
        self.center = self.center + step * deviations / self.std.mean()
        return {"search/std_mean": float(self.std.mean()), "search/top_directions": float(len(top))}

    def _top(self, best: Tensor) -> Tensor:
        """Indices of the directions to use; of equal ones, any."""
        order = torch.randperm(len(best), generator=self.generator)
        return order[best[order].argsort(descending=True, stable=True)[: self.top_directions]]

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"initial_std": self.initial_std.clone()}
