"""How a generation's candidates get their scores."""

from dataclasses import dataclass, replace
from math import nan

import numpy as np
import torch
from torch import Tensor, finfo

from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.types import Array, Metrics
from torchpolicy.rollout.outcome import Failure, Outcome
from torchpolicy.rollout.slots import Rollout
from torchpolicy.training.need import standardized_mean
from torchpolicy.training.plan import Plan
from torchpolicy.training.stopping import EarlyStopping
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.population import Candidates, Population

CENTER_EVERY = 4
"""Generations between those in which the center plays with the candidates. It does not play in each of them, because
with one more than fills the slots, all slots wait for it."""

QUARTERS = (25, 50, 75)
"""Percentiles of the returns of a generation that are metrics."""

REEVALUATED = 0.25
"""Share of the candidates that a re-evaluation plays again: the best."""


@dataclass(frozen=True)
class Scored:
    """The scores of a generation that was played.

    Attributes:
        scores: (P,) float64, the scores that the search is told; NaN for a candidate that failed.
        center_return: The center's mean return on the same episodes, with no survival bonus subtracted; NaN if the
            center did not play.
        failures: Failed episodes of the candidates, and of the center, whose number is P.
        env_steps: Environment steps of all episodes.
        returns: (P, E), the returns of the candidates; completed where an episode was stopped early.
        each_episode: (P, E) float64, the score of each candidate in each episode.
        metrics: Scalars about the generation, except ``rollout/env_steps``.
    """

    scores: Array
    center_return: float
    failures: list[Failure]
    env_steps: int
    returns: Array
    each_episode: Array
    metrics: Metrics


def score(
    rollout: Rollout,
    plan: Plan,
    candidates: Candidates,
    center: Tensor,
    generation: int,
    episodes: int,
    early: EarlyStopping | None = None,
) -> Scored:
    """Play the candidates of a generation and score them.

    Every few generations the center plays the same episodes; its score is not told to the search. The policy's
    normaliser learns what the candidates saw after all of them have played.

    Args:
        rollout: Plays the candidates.
        plan: How they are scored.
        candidates: (P, D), as the search returned them.
        center: (D,), the search's center.
        generation: Number of generations before this one.
        episodes: E, the episodes of each candidate.
        early: Stops episodes of candidates early, and learns from them for the next generation.
    """
    candidates = as_population(candidates, center)
    population = len(candidates)
    players = candidates.with_center() if generation % CENTER_EVERY == 0 else candidates
    seeds = episode_seeds(plan.seed, Stream.TRAIN, generation, episodes + plan.reevaluate)
    stopping = None if early is None else early.of_generation(generation, population)
    outcome = rollout.play(
        players, seeds[:episodes], sampled=plan.sampled, observe=plan.normalize_observations, stopping=stopping
    )
    outcomes, failures = [outcome], outcome.failures
    each_episode = _scores(outcome, plan.step_penalty)
    every = each_episode.mean(1)
    scores = every[:population].copy()
    limit = finfo(candidates.dtype).max ** 0.5
    if plan.episodes == "auto":
        each_episode[np.abs(every) >= limit] = np.nan  # which would spoil the scale of the others
        scores = standardized_mean(torch.from_numpy(each_episode[:population])).numpy()
    if plan.reevaluate:
        again, failed_again = _play_best_again(rollout, plan, candidates, scores, seeds, episodes)
        outcomes, failures = [outcome, again], failures + failed_again
    failures = failures + _too_large(np.where(np.isnan(scores), every[:population], scores), limit, outcome, seeds[0])
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
    if early is not None and stopping is not None:
        metrics |= early.learn(stopping, outcome, scores)
    center_return = nan
    if len(players) > population:
        center_return = float(outcome.returns[population].mean())
        metrics |= _compare(every[population], every[:population])
    return Scored(
        scores=scores,
        center_return=center_return,
        failures=failures,
        env_steps=sum(each.env_steps for each in outcomes),
        returns=outcome.returns[:population],
        each_episode=each_episode[:population],
        metrics=metrics,
    )


def _scores(outcome: Outcome, step_penalty: float) -> Array:
    """(P, E), the return of each episode less a bonus for each step, those that it was completed by included."""
    scores: Array = outcome.returns - step_penalty * (outcome.lengths + outcome.completed)
    return scores


def _play_best_again(
    rollout: Rollout, plan: Plan, candidates: Population, scores: Array, seeds: list[int], episodes: int
) -> tuple[Outcome, list[Failure]]:
    """Play the best candidates again on the seeds after the first E = `episodes`, and order their scores (P,) anew.

    Returns:
        What they came to, and the episodes that failed, by the candidates' numbers in the whole population.
    """
    best = _best(scores)
    again = rollout.play(candidates[best], seeds[episodes:], sampled=plan.sampled, observe=plan.normalize_observations)
    sums = episodes * scores[best] + plan.reevaluate * _scores(again, plan.step_penalty).mean(1)
    scores[best] = _dealt(scores[best], sums)
    return again, [replace(each, candidate=int(best[each.candidate])) for each in again.failures]


def _compare(center: float, candidates: Array) -> Metrics:
    """The center's score, and its rank among the scores of the candidates, (P,): 1 is the best."""
    better, equal = (candidates > center).sum(), (candidates == center).sum()
    return {"search/center_score": float(center), "search/center_rank": 1 + float(better + equal / 2)}


def _best(scores: Array) -> Array:
    """Indices of the candidates to play again. Of those with equal scores, the first ones are taken."""
    count = max(1, round(REEVALUATED * len(scores)))
    best = np.argsort(np.where(np.isfinite(scores), -scores, np.inf), kind="stable")[:count]
    return best[np.isfinite(scores[best])]


def _dealt(scores: Array, again: Array) -> Array:
    """The scores (N,) of candidates that were played again, handed out in the order of all their episodes.

    The best in all episodes gets the highest score, and so on. So only their order among themselves changes, because
    the other candidates have not played these episodes, which may be easier or harder. Equal candidates share the mean
    of their scores; one that failed has none.

    Args:
        scores: (N,), their scores in the first episodes.
        again: (N,), the sums of their scores in all episodes; NaN for one that failed.
    """
    dealt, fine = np.full(len(scores), np.nan), np.isfinite(again)
    _, place, counts = np.unique(again[fine], return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    sums = np.concatenate([[0.0], np.sort(scores[fine]).cumsum()])
    dealt[fine] = ((sums[ends] - sums[ends - counts]) / counts)[place]
    return dealt


def _too_large(scores: Array, limit: float, outcome: Outcome, seed: int) -> list[Failure]:
    """A failure for each candidate whose score, of (P,), is too large for a search, at the end of its first episode."""
    reason = f"is too large to compute with (at most {limit:.1g}): scale the rewards down"
    return [
        Failure(int(each), 0, seed, int(outcome.lengths[each, 0]), f"the score {scores[each]:.3g} {reason}")
        for each in np.flatnonzero(np.abs(scores) >= limit)
    ]


def normalize(rollout: Rollout, outcomes: list[Outcome], population: int) -> None:
    """Let the normaliser learn what the candidates saw, in the order of candidates and episodes."""
    moments, counts = [], []
    for outcome in outcomes:
        if outcome.moments is not None:
            moments.append(outcome.moments[:population].reshape(-1, *outcome.moments.shape[2:]))
            counts.append(np.where(np.isfinite(outcome.returns), outcome.lengths, 0)[:population].ravel())
    if rollout.policy.normalizer is not None:
        rollout.policy.normalizer.update(np.concatenate(moments), np.concatenate(counts))


def describe(outcome: Outcome, population: int) -> Metrics:
    """Scalars about the episodes of the population: the first P of those that played.

    Returns (``ep_rew``) of episodes that were stopped early count as they were completed, lengths (``ep_len``) as they
    were played.
    """
    played = np.isfinite(outcome.returns[:population])
    if not played.any():
        return {}
    returns, lengths = outcome.returns[:population][played], outcome.lengths[:population][played]
    with np.errstate(over="ignore"):  # where returns are near the largest float
        mean, std = float(returns.mean()), float(returns.std())
        quarters = np.percentile(returns, QUARTERS).tolist()
    return {
        "rollout/ep_rew_mean": mean,
        "rollout/ep_rew_max": float(returns.max()),
        "rollout/ep_rew_min": float(returns.min()),
        "rollout/ep_rew_std": std,
        **{f"rollout/ep_rew_p{percent}": quarter for percent, quarter in zip(QUARTERS, quarters, strict=True)},
        "rollout/ep_len_mean": float(lengths.mean()),
        "rollout/truncated": float(outcome.truncated[:population][played].mean()),
    }
