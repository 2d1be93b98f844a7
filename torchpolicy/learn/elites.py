"""Elites: how much each step of some episodes counts when a policy learns to do what it did in them."""

import torch
from torch import Tensor

from torchpolicy.rollout.episodes import Episodes

CAP = 3.0
"""The exponent above which a step counts for no more."""

EQUAL = 1e-9
"""Advantages that are at most this share of the largest reward to go are rounding errors."""


def best_episodes(episodes: Episodes, scores: Tensor, percentile: float, groups: Tensor) -> Tensor:
    """(M,), 1 for the steps of the episodes whose score (N,) is above the percentile of their group's, otherwise 0."""
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    for number in range(int(groups.max()) + 1):
        group = groups == number
        chosen[group] = above_percentile(scores[group], percentile)
    return chosen[episodes.owners].double()


def best_steps(episodes: Episodes, to_go: Tensor, percentile: float, groups: Tensor) -> Tensor:
    """(M,), 1 for the steps whose reward to go (M,) is above the percentile of their group's at that time, otherwise 0.

    Only episodes that go on at that time are compared.
    """
    chosen = torch.zeros(len(to_go), dtype=torch.bool)
    padded = episodes.padded(to_go)
    going_on = episodes.padded(torch.ones_like(to_go)) > 0
    for number in range(int(groups.max()) + 1):
        group = groups == number
        steps = group[episodes.owners]
        values = padded[group].masked_fill(~going_on[group], torch.nan)
        thresholds = values.nanquantile(percentile / 100, 0)
        chosen[steps] = to_go[steps] > thresholds[episodes.times[steps]]
    return chosen.double()


def by_advantage(episodes: Episodes, to_go: Tensor, temperature: float, groups: Tensor) -> Tensor:
    """(M,), exp(A / (temperature * s)) of each step's advantage A; at most exp(`CAP`).

    A is what the step's reward to go (M,) exceeds the mean by, of the episodes of its group that go on at that time; s
    is the root mean square of all advantages. All are 0 if no step has an advantage.
    """
    count = episodes.sums_at(torch.ones_like(to_go), groups)
    advantages = to_go - episodes.sums_at(to_go, groups) / count
    scale = advantages.square().mean().sqrt()
    if scale <= EQUAL * to_go.abs().max():
        return torch.zeros_like(to_go)
    return (advantages / (temperature * scale)).clamp(max=CAP).exp()


def above_percentile(scores: Tensor, percentile: float) -> Tensor:
    """A mask (N,) of the scores above their percentile. If ties leave none, a mask of those that reach it.

    If all scores reach it because all are equal, the mask is empty.
    """
    threshold = scores.quantile(percentile / 100)
    above = scores > threshold
    return above if above.any() or threshold == scores.min() else scores >= threshold
