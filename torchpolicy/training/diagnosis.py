"""Why a search is stuck: what its population says, and one line for the user."""

from math import inf, isfinite, nan
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.search.base import SMALLEST, Search
from torchpolicy.vectors.low_rank import Population
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.shaping import centered_ranks

SAMPLE, NUMBERS = 4096, 2**18
"""Candidates that a diagnosis looks at, and numbers of theirs, weights evenly spaced: enough for a ratio, and no cost
at a million weights."""

STALLED = 10
"""Generations in a row without a difference between scores after which the user is told."""

ALIKE, TIED, CHANCE = 20, 0.9, 1.2
"""Generations in a row after which the user is told that candidates act alike: in each, more than this share of the
scores equals another, and the population points one way by less than this, where 1 is chance."""

NARROW, TINY, WIDE = 1e-3, 1e-5, 10.0
"""How long the noise is beside the weights. Where a search stands still, less than the first is too little, and more
than the last may be too much. Less than the second is told at once: a float32 has few digits left for it."""

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
    """How far candidates lie from the center, where the search has a std a weight: in all, and the mean by tensor.

    Also how long the center is, which that is to be compared with, and what searches tell of their std themselves, so
    that it is there in generations without an update.
    """
    std = _std_of(search)
    if std is None:
        return {}
    found = {
        "search/noise_norm": float(torch.linalg.vector_norm(std)),
        "search/weights_norm": float(torch.linalg.vector_norm(search.center)),
        "search/std_mean": float(std.mean()),
    }
    first, least = getattr(search, "initial_std", None), getattr(search, "min_std", None)
    if isinstance(first, Tensor) and isinstance(least, float):
        lowest = (least * first).clamp(min=SMALLEST)
        found["search/std_floor"] = float((std <= lowest * (1 + 1e-6)).double().mean())
    return found | {f"std/{name}": float(std[where].mean()) for name, where in vector.slices.items()}


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


def _share(metrics: Metrics) -> float:
    """How long the noise around the center is beside the center; NaN where that is not known."""
    weights = metrics.get("search/weights_norm", 0.0)
    return metrics.get("search/noise_norm", nan) / weights if weights > 0 else nan


def _are_counts(metrics: Metrics) -> bool:
    """Whether returns seem to be whole numbers, which are equal without that episodes are alike."""
    return all(metrics.get(f"rollout/ep_rew_{which}", nan).is_integer() for which in ("min", "max"))


class Diagnosis:
    """Watches the metrics of a run, and says once, in one line, why it stands still.

    Args:
        remedy: What may help where scores do not differ.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._told: set[str] = set()
        self._stalled = self._surviving = self._alike = 0  # generations in a row
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
        alike = metrics.get("search/ties", 0) >= TIED and metrics.get("search/signal", inf) <= CHANCE
        self._alike = self._alike + 1 if stalled or (alike and not _are_counts(metrics)) else 0
        share = _share(metrics)
        reasons: dict[str, str] = {}
        if share < TINY:
            reasons["narrow"] = (
                f"std is {share:.0e} of the weights, so candidates hardly differ: raise std, or min_std where it shrank"
            )
        if self._stalled >= STALLED and truncated == 1:
            reasons["equal"] = (
                f"for {STALLED} generations all episodes have run to the time limit with the same return: there is "
                "nothing left to learn, or the reward does not tell them apart"
            )
        elif self._stalled >= STALLED:
            reasons["equal"] = (
                f"no two scores have differed for {STALLED} generations, so nothing can be learned: "
                f"{self._advice(share)}, more episodes or a denser reward may help"
            )
        if self._alike >= ALIKE and not stalled and "equal" not in self._told:
            reasons["alike"] = (
                f"for {ALIKE} generations nearly all scores have equalled another (search/ties is "
                f"{metrics['search/ties']:.2g}), so candidates act alike: {self._advice(share)}, "
                "normalize_observations or more episodes may help"
            )
        if metrics.get("search/std_floor", 0) > 0.5:
            reasons["floor"] = "most of std is at its floor, so the search stands still: a larger min_std may free it"
        if self._surviving >= SURVIVING and not self._stalled:
            reasons["survival"] = (
                f"for {SURVIVING} generations {truncated:.0%} of the episodes have run to the time limit, without a "
                "better return: it has learned to survive, not to finish; a step_penalty may help"
            )
        fresh = [reason for reason in reasons if reason not in self._told]
        self._told.update(fresh[:1])
        return reasons[fresh[0]] if fresh else None

    def _advice(self, share: float) -> str:
        """What may help where candidates do not differ, by how large std is beside the weights."""
        if share < NARROW:
            return f"std is {share:.0e} of the weights, so a larger one"
        if share > WIDE:
            return f"std is {share:.1f} times the weights, so a smaller one (std_scale)"
        return self._remedy

    def state_dict(self) -> dict[str, Any]:
        """What :meth:`load_state_dict` needs to go on as if nothing had happened."""
        return {
            "stalled": self._stalled,
            "surviving": self._surviving,
            "alike": self._alike,
            "best": self._best,
            "fell": self._fell,
            "told": sorted(self._told),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._stalled, self._surviving, self._alike = state["stalled"], state["surviving"], state["alike"]
        self._best, self._fell, self._told = state["best"], state["fell"], set(state["told"])
