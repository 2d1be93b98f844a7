"""How a generation's candidates get their scores."""

from dataclasses import dataclass, replace
from math import nan

import numpy as np
from torch import Tensor, finfo

from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.types import Array, Metrics
from torchpolicy.rollout.outcome import Failure, Outcome
from torchpolicy.rollout.slots import Rollout
from torchpolicy.training.plan import Plan
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.population import Candidates

CENTER_EVERY = 4
"""Generations between those in which the center plays along. Not each: one more than a full set of slots makes
all of them wait for it."""

REEVALUATED = 0.25
"""Share of the candidates, the best, that a re-evaluation plays again."""


@dataclass(frozen=True)
class Scored:
    """A generation that was played.

    Attributes:
        scores: (P,) float64, what the search is told; NaN for a candidate that failed.
        center_return: The center's mean return on the same episodes, no survival bonus subtracted; NaN if it did not
            play along.
        failures: Of the candidates, and of the center, numbered P.
        env_steps: In all.
        returns: (P, E), of the candidates.
        metrics: Scalars about it, but for ``rollout/env_steps``.
    """

    scores: Array
    center_return: float
    failures: list[Failure]
    env_steps: int
    returns: Array
    metrics: Metrics


def score(rollout: Rollout, plan: Plan, candidates: Candidates, center: Tensor, generation: int) -> Scored:
    """Play the candidates (P, D) of a generation, and every few generations the center (D,) with them, unheard.

    When all are played, and not before, the policy's normaliser learns what the candidates saw.
    """
    candidates = as_population(candidates, center)
    population = len(candidates)
    players = candidates.with_center() if generation % CENTER_EVERY == 0 else candidates
    seeds = episode_seeds(plan.seed, Stream.TRAIN, generation, plan.episodes + plan.reevaluate)
    outcome = rollout.play(players, seeds[: plan.episodes], observe=plan.normalize_observations)
    outcomes, failures = [outcome], outcome.failures
    every = _mean_scores(outcome, plan.step_penalty)
    scores = every[:population].copy()
    if plan.reevaluate:
        best = _best(scores)
        again = rollout.play(candidates[best], seeds[plan.episodes :], observe=plan.normalize_observations)
        sums = plan.episodes * scores[best] + plan.reevaluate * _mean_scores(again, plan.step_penalty)
        scores[best] = _dealt(scores[best], sums)
        failures = failures + [replace(each, candidate=int(best[each.candidate])) for each in again.failures]
        outcomes.append(again)
    failures = failures + _too_large(scores, finfo(candidates.dtype).max ** 0.5, outcome, seeds[0])
    failed = np.unique([each.candidate for each in failures if each.candidate < population]).astype(int)
    scores[failed] = np.nan
    if plan.failed == "worst" and len(failed) < population:
        scores[failed] = np.nanmin(scores)
    if plan.normalize_observations:
        normalize(rollout, outcomes, population)
    metrics = describe(outcome, population) | {
        "rollout/episodes": sum(each.returns.size for each in outcomes),
        "time/slot_utilisation": outcome.slot_utilisation,
    }
    center_return = nan
    if len(players) > population:
        center_return = float(outcome.returns[population].mean())
        center_score = every[population]
        better, equal = (every[:population] > center_score).sum(), (every[:population] == center_score).sum()
        metrics |= {"search/center_score": float(center_score), "search/center_rank": 1 + float(better + equal / 2)}
    return Scored(
        scores,
        center_return,
        failures,
        sum(each.env_steps for each in outcomes),
        outcome.returns[:population],
        metrics,
    )


def _mean_scores(outcome: Outcome, step_penalty: float) -> Array:
    """(P,), mean over the episodes of the return less a bonus for each step."""
    scores: Array = (outcome.returns - step_penalty * outcome.lengths).mean(1)
    return scores


def _best(scores: Array) -> Array:
    """Indices of the candidates to play again. The last ones, where scores are equal, have nothing on the first."""
    count = max(1, round(REEVALUATED * len(scores)))
    best = np.argsort(np.where(np.isfinite(scores), -scores, np.inf), kind="stable")[:count]
    return best[np.isfinite(scores[best])]


def _dealt(scores: Array, again: Array) -> Array:
    """Scores (N,) dealt out anew, by the order of what the same candidates came to in all their episodes, (N,).

    Only their order among themselves changes: the others have played other episodes, whose luck is another. Those equal
    share the mean of their scores; one that failed has none.
    """
    dealt, fine = np.full(len(scores), np.nan), np.isfinite(again)
    _, place, counts = np.unique(again[fine], return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    sums = np.concatenate([[0.0], np.sort(scores[fine]).cumsum()])
    dealt[fine] = ((sums[ends] - sums[ends - counts]) / counts)[place]
    return dealt


def _too_large(scores: Array, limit: float, outcome: Outcome, seed: int) -> list[Failure]:
    """A failure for each candidate whose score, of (P,), no search can compute with: where its first episode ended."""
    reason = f"is too large to compute with (at most {limit:.1g}): scale the rewards down"
    return [
        Failure(int(each), 0, seed, int(outcome.lengths[each, 0]), f"the score {scores[each]:.3g} {reason}")
        for each in np.flatnonzero(np.abs(scores) >= limit)
    ]


def normalize(rollout: Rollout, outcomes: list[Outcome], population: int) -> None:
    """Let the normaliser learn what the candidates saw, episode by episode in the order of their numbers."""
    moments, counts = [], []
    for outcome in outcomes:
        if outcome.moments is not None:
            moments.append(outcome.moments[:population].reshape(-1, *outcome.moments.shape[2:]))
            counts.append(np.where(np.isfinite(outcome.returns), outcome.lengths, 0)[:population].ravel())
    if rollout.policy.normalizer is not None:
        rollout.policy.normalizer.update(np.concatenate(moments), np.concatenate(counts))


def describe(outcome: Outcome, population: int) -> Metrics:
    """Scalars of the episodes of the population, the first (P) of those who played."""
    played = np.isfinite(outcome.returns[:population])
    if not played.any():
        return {}
    returns, lengths = outcome.returns[:population][played], outcome.lengths[:population][played]
    with np.errstate(over="ignore"):  # of returns near the largest number there is
        mean, std = float(returns.mean()), float(returns.std())
    return {
        "rollout/ep_rew_mean": mean,
        "rollout/ep_rew_max": float(returns.max()),
        "rollout/ep_rew_min": float(returns.min()),
        "rollout/ep_rew_std": std,
        "rollout/ep_len_mean": float(lengths.mean()),
        "rollout/truncated": float(outcome.truncated[:population][played].mean()),
    }
