"""Why a search is stuck: what its population says, and one line for the user."""

from collections.abc import Iterator
from math import inf, isfinite, nan
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.search.base import Search
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Candidates
from torchpolicy.vectors.shaping import centered_ranks
from torchpolicy.vectors.std import lowest_std

SAMPLE, NUMBERS = 4096, 2**18
"""How many candidates a diagnosis looks at, and how many of their numbers in all, evenly spaced: enough for a
ratio, and little work at a million weights."""

STALLED = 10
"""Generations in a row without a difference between scores after which the user is told."""

ALIKE, TIED, CHANCE = 20, 0.9, 1.2
"""Generations in a row after which the user is told that candidates act alike. In each of them, more than the share
TIED of the scores equals another, and the population points one way by less than CHANCE, where chance gives 1."""

NARROW, TINY, WIDE = 1e-3, 1e-5, 10.0
"""Bounds of the length of the noise over that of the weights. Where a search stands still, less than NARROW is too
little, and more than WIDE may be too much. Less than TINY is told at once: a float32 has few digits left for it."""

SURVIVING = 20
"""Generations in a row at the time limit, without a better return, after which the user is told."""


def signal(candidates: Candidates, scores: Tensor, center: Tensor, *, mirrored: bool) -> float:
    """How far the population points one way: the squared length of its rank-weighted sum, over what chance gives.

    It is about 1 where scores are noise, and 1 + N / D, of N candidates or N pairs, where scores are the way gone along
    one line. It is NaN where there is nothing to weigh.

    Args:
        candidates: (N, D).
        scores: (N,), NaN for a failed candidate.
        center: (D,), the center that the candidates were drawn around.
        mirrored: Whether rows 2i and 2i + 1 lie on either side of the center.
    """
    count = min(len(scores), SAMPLE)
    scores = scores[:count].double()
    fine = scores.isfinite()
    if mirrored:
        fine = fine.view(-1, 2).all(1).repeat_interleave(2)
    scores = scores[fine]
    if len(scores) < 2 or (scores == scores[0]).all():
        return nan
    seen = as_population(candidates, center)[:count].thinned(NUMBERS)[fine]
    return seen.sum_over_chance(centered_ranks(scores), mirrored=mirrored)


def ties(scores: Tensor) -> float:
    """Share of the scores (N,) that equal another one."""
    scores = scores[:SAMPLE]
    _, counts = torch.unique(scores[scores.isfinite()], return_counts=True)
    return float(counts[counts > 1].sum() / max(1, int(counts.sum())))


def spread(search: Search, vector: ParamVector) -> Metrics:
    """How far candidates lie from the center, in all and on average in each tensor; empty if weights have no std.

    With it come the length of the center, for comparison, and what searches tell of their std themselves, so that it
    is there in generations without an update, too.
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
        found["search/std_floor"] = float((std <= lowest_std(first, least) * (1 + 1e-6)).double().mean())
    return found | {f"std/{name}": float(std[where].mean()) for name, where in vector.slices.items()}


def distributions(vector: ParamVector, algorithm: Search | Learner, returns: Tensor) -> dict[str, Tensor]:
    """What histograms are made of: returns, and for each tensor its weights and their std."""
    std = _std_of(algorithm)
    found = {"rollout/returns": returns}
    found |= {f"weights/{name}": part for name, part in vector.unflatten(algorithm.center).items()}
    if std is not None:
        found |= {f"weights_std/{name}": part for name, part in vector.unflatten(std).items()}
    return found


def _std_of(algorithm: Search | Learner) -> Tensor | None:
    """The standard deviation of each weight, (D,), where the algorithm has one."""
    std = getattr(algorithm, "std", None)
    return std if isinstance(std, Tensor) and std.shape == algorithm.center.shape else None


def _share(metrics: Metrics) -> float:
    """How long the noise around the center is beside the center; NaN where that is not known."""
    weights = metrics.get("search/weights_norm", 0.0)
    return metrics.get("search/noise_norm", nan) / weights if weights > 0 else nan


def _are_counts(metrics: Metrics) -> bool:
    """Whether returns seem to be whole numbers, which may be equal though episodes differ."""
    return all(metrics.get(f"rollout/ep_rew_{which}", nan).is_integer() for which in ("min", "max"))


class Diagnosis:
    """Watches the metrics of a run, and says once, in one line, why it stands still.

    Args:
        remedy: What to advise where scores do not differ.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy
        self._told: set[str] = set()
        self._stalled = self._surviving = self._alike = 0  # generations in a row
        self._best = -inf  # mean return, over all generations
        self._fell = False  # whether most episodes once ended before the time limit

    def look(self, metrics: Metrics, *, stalled: bool) -> str | None:
        """What there is to say after a generation, once: None if there is nothing new.

        Args:
            metrics: Those of the generation.
            stalled: Whether nothing could be learned in it.
        """
        self._count(metrics, stalled=stalled)
        for reason, text in self._reasons(metrics, stalled=stalled):
            if reason not in self._told:
                self._told.add(reason)
                return text
        return None

    def _count(self, metrics: Metrics, *, stalled: bool) -> None:
        """Count the generations in a row that look alike."""
        truncated, mean = metrics.get("rollout/truncated", 0.0), metrics.get("rollout/ep_rew_mean", nan)
        self._stalled = self._stalled + 1 if stalled else 0
        self._fell |= truncated < 0.5
        better = isfinite(mean) and mean > self._best
        self._surviving = self._surviving + 1 if self._fell and truncated >= 0.9 and not better else 0
        self._best = max(self._best, mean) if isfinite(mean) else self._best
        alike = metrics.get("search/ties", 0) >= TIED and metrics.get("search/signal", inf) <= CHANCE
        self._alike = self._alike + 1 if stalled or (alike and not _are_counts(metrics)) else 0

    def _reasons(self, metrics: Metrics, *, stalled: bool) -> Iterator[tuple[str, str]]:
        """Every reason why the run may stand still, by its name, the most urgent one first."""
        truncated, share = metrics.get("rollout/truncated", 0.0), _share(metrics)
        if share < TINY:
            yield (
                "narrow",
                f"std is {share:.0e} of the weights, so candidates hardly differ: raise std, or min_std where it "
                "shrank",
            )
        if self._stalled >= STALLED and truncated == 1:
            yield (
                "equal",
                f"for {STALLED} generations all episodes have run to the time limit with the same return: there is "
                "nothing left to learn, or the reward does not tell them apart",
            )
        elif self._stalled >= STALLED:
            yield (
                "equal",
                f"no two scores have differed for {STALLED} generations, so nothing can be learned: "
                f"{self._advice(share)}, more episodes or a denser reward may help",
            )
        if self._alike >= ALIKE and not stalled and "equal" not in self._told:
            yield (
                "alike",
                f"for {ALIKE} generations nearly all scores have equalled another (search/ties is "
                f"{metrics['search/ties']:.2g}), so candidates act alike: {self._advice(share)}, "
                "normalize_observations or more episodes may help",
            )
        if metrics.get("search/std_floor", 0) > 0.5:
            yield "floor", "most of std is at its floor, so the search stands still: a larger min_std may free it"
        if self._surviving >= SURVIVING and not self._stalled:
            yield (
                "survival",
                f"for {SURVIVING} generations {truncated:.0%} of the episodes have run to the time limit, without a "
                "better return: it has learned to survive, not to finish; a step_penalty may help",
            )

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
