"""Why a search is stuck: what its population says, and one line for the user."""

from math import isfinite
from typing import Any

import torch
from torch import Tensor

from torchpolicy.learn.base import Learner
from torchpolicy.params import ParamVector
from torchpolicy.population import Population
from torchpolicy.search.base import Metrics, Search
from torchpolicy.shaping import centered_ranks

SAMPLE, NUMBERS = 4096, 2**18
"""Candidates that a diagnosis looks at, and numbers of theirs, weights evenly spaced: enough for a ratio, and no cost
at a million weights."""

STALLED = 10
"""Generations in a row without a difference between scores after which the user is told."""

SURVIVING = 20
"""Generations in a row at the time limit, without a better return, after which the user is told."""


def signal(candidates: Tensor | Population, scores: Tensor, center: Tensor, *, mirrored: bool) -> float:
    """How far the population points one way: the squared length of its rank-weighted sum, over what chance gives.

    About 1 where scores are noise; 1 + N / D, of N candidates or N pairs, where they are the way gone along one line.
    NaN where there is nothing to weigh.

    Args:
        candidates: (N, D).
        scores: (N,), NaN for a failed one.
        center: (D,), that they were drawn around.
        mirrored: Whether rows 2i and 2i + 1 lie on either side of the center.
    """
    count = min(len(scores), SAMPLE)
    every = -(-len(center) * count // NUMBERS)  # rounded up
    scores = scores[:count].double()
    fine = scores.isfinite()
    if mirrored:
        fine = fine.view(-1, 2).all(1).repeat_interleave(2)
    scores = scores[fine]
    if len(scores) < 2 or (scores == scores[0]).all():
        return float("nan")
    if isinstance(candidates, Population):
        return _signal_of_factors(candidates[:count][fine], centered_ranks(scores))
    deviations = candidates[:count, ::every] - center[::every]
    if len(scores) < count:
        deviations = deviations[fine]
    weights = centered_ranks(scores).to(deviations)
    if mirrored:
        deviations, weights = deviations[0::2], weights[0::2] - weights[1::2]
    variance = deviations.square().mean(0)
    moved = variance > 0
    chance = weights.square().sum() * moved.sum()
    return float(((weights @ deviations).square() / variance)[moved].sum() / chance) if chance > 0 else float("nan")


def _signal_of_factors(candidates: Population, weights: Tensor) -> float:
    """The same where noise has a low rank: each number of it has variance 1, and all of them are looked at."""
    along = candidates.weighted_sum(weights) / candidates.std
    by_draw = weights.new_zeros(int(candidates.draws.max()) + 1)
    by_draw.index_add_(0, candidates.draws.cpu(), weights * candidates.signs.cpu())
    chance = float(by_draw.square().sum()) * len(along)
    return float(along.double().square().sum() / chance) if chance > 0 else float("nan")


def ties(scores: Tensor) -> float:
    """Share of the scores (N,) that are not one of a kind."""
    scores = scores[:SAMPLE]
    _, counts = torch.unique(scores[scores.isfinite()], return_counts=True)
    return float(counts[counts > 1].sum() / max(1, int(counts.sum())))


def spread(search: Search, vector: ParamVector) -> Metrics:
    """How far candidates lie from the center, where the search has a std a weight: in all, and the mean by tensor."""
    std = _std_of(search)
    if std is None:
        return {}
    noise = {"search/noise_norm": float(torch.linalg.vector_norm(std))}
    return noise | {f"std/{name}": float(std[where].mean()) for name, where in vector.slices.items()}


def distributions(vector: ParamVector, algorithm: Search | Learner, returns: Tensor) -> dict[str, Tensor]:
    """What is worth a histogram: returns, and weights and their std, each by tensor."""
    std = _std_of(algorithm)
    found = {"rollout/returns": returns}
    found |= {f"weights/{name}": part for name, part in vector.unflatten(algorithm.center).items()}
    if std is not None:
        found |= {f"weights_std/{name}": part for name, part in vector.unflatten(std).items()}
    return found


def _std_of(algorithm: Search | Learner) -> Tensor | None:
    """Of each weight, (D,), if it has one."""
    std = getattr(algorithm, "std", None)
    return std if isinstance(std, Tensor) and std.shape == algorithm.center.shape else None


class Diagnosis:
    """Watches the metrics of a run, and says once, in one line, why it stands still.

    Args:
        remedy: What may help where scores do not differ.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._told: set[str] = set()
        self._stalled = self._surviving = 0  # generations in a row
        self._best = float("-inf")  # mean return of those that survive
        self._fell = False  # whether most episodes once ended before the time limit

    def look(self, metrics: Metrics, *, stalled: bool) -> str | None:
        """What there is to say after a generation."""
        truncated, mean = metrics.get("rollout/truncated", 0.0), metrics.get("rollout/ep_rew_mean", float("nan"))
        self._stalled = self._stalled + 1 if stalled else 0
        self._fell |= truncated < 0.5
        better = isfinite(mean) and mean > self._best
        self._surviving = self._surviving + 1 if self._fell and truncated >= 0.9 and not better else 0
        self._best = max(self._best, mean) if isfinite(mean) else self._best
        if self._stalled == STALLED:
            if truncated == 1:
                return self._say(
                    "equal",
                    f"for {STALLED} generations all episodes have run to the time limit with the same return: there is "
                    "nothing left to learn, or the reward does not tell them apart",
                )
            return self._say(
                "equal",
                f"no two scores have differed for {STALLED} generations, so nothing can be learned: {self._remedy}, "
                "more episodes or a denser reward may help",
            )
        if metrics.get("search/std_floor", 0) > 0.5:
            return self._say(
                "floor", "most of std is at its floor, so the search stands still: a larger min_std may free it"
            )
        if self._surviving >= SURVIVING and not self._stalled:
            return self._say(
                "survival",
                f"for {SURVIVING} generations {truncated:.0%} of the episodes have run to the time limit, without a "
                "better return: it has learned to survive, not to finish; a survival_bonus may help",
            )
        return None

    def _say(self, reason: str, text: str) -> str | None:
        """`text`, the first time that there is that reason."""
        told = reason in self._told
        self._told.add(reason)
        return None if told else text

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on as if nothing had happened."""
        return {
            "stalled": self._stalled,
            "surviving": self._surviving,
            "best": self._best,
            "fell": self._fell,
            "told": sorted(self._told),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._stalled, self._surviving = state["stalled"], state["surviving"]
        self._best, self._fell, self._told = state["best"], state["fell"], set(state["told"])
