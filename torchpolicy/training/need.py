"""How many episodes a generation needs: enough for two halves of them to point the same way.

After Uchida, Nishihara & Shirakawa (2024), "CMA-ES with adaptive reevaluation for multiplicative noise", arXiv
2405.11471, which compares the updates from two halves of the evaluations as well.
"""

from math import ceil, isfinite
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.fields import Kind, check_fields, number, whole
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.population import Candidates
from torchpolicy.vectors.shaping import centered_ranks, pair_differences

MOST = 32
"""The most episodes that a candidate plays."""

RELIABILITY = 0.5
"""The share of the update's direction that should come from the candidates, rather than from the luck of episodes."""

MEMORY = 0.1
"""The weight of the last generation in the average."""

SURE = 0.95
"""The largest agreement of two halves that is believed."""

PROBE_EVERY = 5
"""Generations between those in which candidates that need one episode play two, to see whether that is still so."""

FIELDS: dict[str, Kind] = {"count": whole(1), "ratio": number(), "seen": whole()}
"""The fields of its state, and what each may be."""


class EpisodesByNeed:
    """Chooses the number of episodes by how well two halves of them agree.

    The directions of the update from either half have a cosine rho. With h episodes in each half, an episode has rho /
    ((1 - rho) h) times as much signal as noise, of which a running average is kept, q. E episodes then have q E times
    as much, and E = r / (1 - r) / q of them have a share r of signal.

    Attributes:
        count: Episodes that each candidate should play in the next generation.
        ratio: q, the average of signal over noise in one episode.
        seen: The number of generations that were measured.
    """

    def __init__(self) -> None:
        self.count = 2
        self.ratio = 0.0
        self.seen = 0

    def at(self, generation: int) -> int:
        """Episodes that each candidate plays in a generation, counted from 0."""
        return max(self.count, 2 if generation % PROBE_EVERY == 0 else 1)

    def measure(self, candidates: Candidates, scores: Tensor, center: Tensor, *, mirrored: bool) -> None:
        """Take in the scores of a generation. Nothing is learned of a single episode.

        Args:
            candidates: (N, D).
            scores: (N, E), the score of each candidate in each episode; NaN for an episode that failed.
            center: (D,), the center that the candidates were drawn around.
            mirrored: Whether rows 2i and 2i + 1 lie on either side of the center.
        """
        episodes = scores.shape[1]
        if episodes < 2:
            return
        halves = [standardized_mean(scores[:, part::2]) for part in (0, 1)]
        rho = agreement(candidates, halves[0], halves[1], center, mirrored=mirrored)
        if not isfinite(rho):
            return
        rho = min(rho, SURE)
        self.seen += 1
        weight = max(MEMORY, 1 / self.seen)
        self.ratio += weight * (rho / ((1 - rho) * episodes / 2) - self.ratio)
        needed = RELIABILITY / (1 - RELIABILITY) / max(self.ratio, 1 / MOST)
        self.count = min(max(ceil(needed - 0.5), self.count - 1, 1), self.count + 1, MOST)

    def state_dict(self) -> dict[str, Any]:
        """The attributes, by their names."""
        return {"count": self.count, "ratio": self.ratio, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it does not fit.
        """
        check_fields(state, FIELDS, FIELDS)
        self.count, self.ratio, self.seen = state["count"], state["ratio"], state["seen"]


def standardized_mean(scores: Tensor) -> Tensor:
    """The mean over episodes of scores (N, E) that were brought to the same mean and std in every episode.

    All candidates play the same episodes, and some episodes are easier, or tell more, than others. The result (N,) is
    in the units of the scores. A candidate with a failed episode, NaN, has NaN.
    """
    fine = scores.isfinite().all(1)
    if fine.sum() < 2:
        return scores.mean(1)
    std, mean = torch.std_mean(scores[fine], 0)
    scale = torch.where(std > 0, std, 1.0)
    return ((scores - mean) / scale).mean(1) * std.mean() + mean.mean()


def agreement(candidates: Candidates, one: Tensor, other: Tensor, center: Tensor, *, mirrored: bool) -> float:
    """The cosine of the directions that two sets of scores (N,) of the same candidates (N, D) point in.

    It is NaN where one of them points nowhere.
    """
    fine = one.isfinite() & other.isfinite()
    if mirrored:
        fine = fine.view(-1, 2).all(1).repeat_interleave(2)
    if fine.sum() < 2:
        return float("nan")
    population = as_population(candidates, center)[fine]
    directions = []
    for scores in (one[fine], other[fine]):
        weights = centered_ranks(scores)
        directions.append(population.weighted_sum(pair_differences(weights) if mirrored else weights).double())
    product, lengths = directions[0] @ directions[1], [float(torch.linalg.vector_norm(each)) for each in directions]
    return float(product) / (lengths[0] * lengths[1]) if min(lengths) > 0 else float("nan")
