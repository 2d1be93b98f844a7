"""What a score counts for in a search: functions from scores to weights.

All of them keep equal scores equal. Ranks give ties the mean of the values that they share; ranks by
``argsort`` would turn ties, which many environments abound in, into noise.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Shaping = Callable[[Tensor], Tensor]


def centered_ranks(scores: Tensor) -> Tensor:
    """Ranks of scores (N,), spread evenly over -1/2 (worst) to 1/2 (best). Salimans et al. (2017)."""
    return by_rank(scores, torch.linspace(-0.5, 0.5, len(scores), dtype=torch.float64))


def utilities(scores: Tensor) -> Tensor:
    """Utilities of scores (N,), which sum to 0: one for all of the worse half, higher ones for better scores.

    The k-th best has max(0, ln(N/2 + 1) - ln k), scaled to a sum of 1, less 1/N. Wierstra et al. (2014).
    """
    count = len(scores)
    places = torch.arange(count, 0, -1, dtype=torch.float64)  # N (worst) to 1 (best)
    values = (torch.log(torch.tensor(count / 2 + 1, dtype=torch.float64)) - places.log()).clamp(min=0)
    return by_rank(scores, values / values.sum() - 1 / count)


def minus_mean(scores: Tensor) -> Tensor:
    """Scores (N,) less their mean."""
    return scores.double() - scores.double().mean()


def standardized(scores: Tensor) -> Tensor:
    """Scores (N,) less their mean, divided by their standard deviation; all 0 where they are equal."""
    centered = minus_mean(scores)
    if (scores == scores[0]).all():  # a mean that is rounded would leave a std that is not 0
        return torch.zeros_like(centered)
    return centered / centered.square().mean().sqrt()


def pair_differences(weights: Tensor) -> Tensor:
    """Half the difference in each mirrored pair of weights (N,), with either sign: exactly 0 where both are equal."""
    half = (weights[0::2] - weights[1::2]) / 2
    return torch.stack([half, -half], 1).flatten()


SHAPINGS: dict[str, Shaping] = {"mean": minus_mean, "standardized": standardized, "ranks": centered_ranks}
"""The shapings that a search's `baseline` names."""


def chance_of(baseline: str, count: int) -> float | None:
    """Root mean square of what N scores count for by a shaping; None where that is in the units of the scores."""
    if baseline == "standardized":
        return 1.0
    if baseline == "ranks":
        return float(centered_ranks(torch.arange(count)).square().mean().sqrt())
    return None


def by_rank(scores: Tensor, values: Tensor) -> Tensor:
    """One of the `values` (N,), worst to best, for each score by its rank; equal scores share the mean of theirs."""
    _, group, sizes = torch.unique(scores, return_inverse=True, return_counts=True)
    ends = sizes.cumsum(0)
    sums = nn.functional.pad(values.to(scores.device).cumsum(0), (1, 0))
    means: Tensor = (sums[ends] - sums[ends - sizes]) / sizes
    return means[group]
