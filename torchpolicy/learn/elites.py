"""Elites: how much each step of some episodes counts when a policy learns to do what it did in them."""

import torch
from torch import Tensor

from torchpolicy.rollout.episodes import Episodes

CAP = 3.0
"""The standardised advantage above which a step counts for no more."""


def best_episodes(episodes: Episodes, scores: Tensor, percentile: float, groups: Tensor) -> Tensor:
    """(M,), 1 for the steps of the episodes whose score (N,) is above the percentile of their group's, otherwise 0."""
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    for number in range(int(groups.max()) + 1):
        group = groups == number
        chosen[group] = above_percentile(scores[group], percentile)
    return chosen[episodes.owners].double()


def best_steps(episodes: Episodes, to_go: Tensor, percentile: float, groups: Tensor) -> Tensor:
    """(M,), 1 for the steps whose reward to go (M,) is above the percentile of their group's at that time, otherwise 0.

    An episode that has ended has a reward to go of zero.
    """
    chosen = torch.zeros(len(to_go), dtype=torch.bool)
    padded = episodes.padded(to_go)
    for number in range(int(groups.max()) + 1):
        group = groups == number
        steps = group[episodes.owners]
        thresholds = padded[group].quantile(percentile / 100, 0)
        chosen[steps] = to_go[steps] > thresholds[episodes.times[steps]]
    return chosen.double()


def by_advantage(episodes: Episodes, to_go: Tensor, groups: Tensor) -> Tensor:
    """(M,), exp(A / s) of each step's advantage A over the mean reward to go of its group at that time.

    An episode that has ended has a reward to go of zero; s is the root mean square of all advantages, and A / s counts
    for no more than `CAP`. All are 0 if no step has an advantage.
    """
    sizes = groups.bincount()[groups][episodes.owners]
    advantages = to_go - episodes.sums_at(to_go, groups) / sizes
    scale = advantages.square().mean().sqrt()
    if scale <= 1e-9 * to_go.abs().max():
        return torch.zeros_like(to_go)
    return (advantages / scale).clamp(max=CAP).exp()


def above_percentile(scores: Tensor, percentile: float) -> Tensor:
    """A mask (N,) of the scores above their percentile. If ties leave none, a mask of those that reach it.

    If all scores reach it because all are equal, the mask is empty.
    """
    threshold = scores.quantile(percentile / 100)
    above = scores > threshold
    return above if above.any() or threshold == scores.min() else scores >= threshold
