"""One generation, two ways: ask, play, tell; or play, learn."""

import time
from dataclasses import dataclass

import torch

from torchpolicy.learn.base import Learner
from torchpolicy.outcome import Failure
from torchpolicy.params import ParamVector
from torchpolicy.plan import Plan
from torchpolicy.rollout import Rollout
from torchpolicy.scoring import describe, normalize, score
from torchpolicy.search.base import Metrics, Search
from torchpolicy.seeding import Stream, episode_seeds


@dataclass(frozen=True)
class Generation:
    """What a generation came to.

    Attributes:
        metrics: Of its episodes and of the update, but for ``rollout/env_steps`` and times of all.
        promise: A score in training that may mean that the target is reached; NaN if there is none.
        stalled: Whether nothing could be learned.
        failures: In the order of candidates and episodes.
        failed: How many candidates, or episodes of a learner, failed.
        players: Of how many.
        env_steps: In all.
    """

    metrics: Metrics
    promise: float
    stalled: bool
    failures: list[Failure]
    failed: int
    players: int
    env_steps: int


def run_generation(algorithm: Search | Learner, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    """Let the algorithm improve the rollout's policy once."""
    if isinstance(algorithm, Search):
        return _search(algorithm, rollout, plan, generation)
    return _learn(algorithm, rollout, plan, generation)


def _search(search: Search, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    begin = time.monotonic()
    candidates = search.ask()
    asked = time.monotonic()
    scored = score(rollout, plan, candidates, search.center, generation)
    played = time.monotonic()
    update = search.tell(candidates, torch.from_numpy(scored.scores))
    ParamVector(rollout.policy.net).write(search.center)
    times = {"time/rollout_s": played - asked, "time/update_s": asked - begin + time.monotonic() - played}
    players = len(scored.scores)
    return Generation(
        metrics=scored.metrics | update | times,
        promise=scored.center_score,
        stalled=bool(update["search/stalled"]),
        failures=scored.failures,
        failed=len({failure.candidate for failure in scored.failures if failure.candidate < players}),
        players=players,
        env_steps=scored.env_steps,
    )


def _learn(learner: Learner, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    begin = time.monotonic()
    seeds = episode_seeds(plan.seed, Stream.TRAIN, generation, plan.episodes)
    outcome, episodes = rollout.collect(seeds, observe=plan.normalize_observations)
    played = time.monotonic()
    update = learner.learn(episodes)
    if plan.normalize_observations:
        normalize(rollout, [outcome], 1)
    described = describe(outcome, 1) | {"rollout/episodes": float(len(seeds))}
    times = {"time/rollout_s": played - begin, "time/update_s": time.monotonic() - played}
    return Generation(
        metrics=described | update | times | {"learn/failed": float(len(outcome.failures))},
        promise=described.get("rollout/ep_rew_mean", float("nan")),
        stalled=bool(update["learn/stalled"]),
        failures=outcome.failures,
        failed=len(outcome.failures),
        players=len(seeds),
        env_steps=outcome.env_steps,
    )
