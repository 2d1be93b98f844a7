"""One generation, two ways: ask, play, tell; or play, learn."""

from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from torchpolicy.base.errors import RunError
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.rollout.outcome import Failure
from torchpolicy.rollout.slots import Rollout
from torchpolicy.search.base import Search
from torchpolicy.training.diagnosis import signal, spread, ties
from torchpolicy.training.plan import Plan
from torchpolicy.training.scoring import describe, normalize, score
from torchpolicy.vectors.params import ParamVector


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
        returns: Of the episodes, NaN for a failed one.
    """

    metrics: Metrics
    promise: float
    stalled: bool
    failures: list[Failure]
    failed: int
    players: int
    env_steps: int
    returns: Tensor


def run_generation(algorithm: Search | Learner, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    """Let the algorithm improve the rollout's policy once.

    Raises:
        RunError: If the policy's weights are no longer finite.
    """
    if isinstance(algorithm, Search):
        done = _search(algorithm, rollout, plan, generation)
    else:
        done = _learn(algorithm, rollout, plan, generation)
    if not algorithm.center.isfinite().all():
        raise RunError(
            f"generation {generation + 1}: the update made weights that are not finite: try a smaller learning rate "
            "or std, or smaller rewards"
        )
    return done


def _search(search: Search, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    before = dict(rollout.seconds)
    begin = perf_counter()
    candidates = search.ask()
    asked = perf_counter()
    scored = score(rollout, plan, candidates, search.center, generation)
    played = perf_counter()
    scores, before_update = torch.from_numpy(scored.scores), search.center.clone()
    update = search.tell(candidates, scores)
    vector = ParamVector(rollout.policy.net)
    vector.write(search.center)
    told = perf_counter()
    diagnosis = {
        "search/signal": signal(candidates, scores, before_update, mirrored=search.mirrored),
        "search/ties": ties(scores),
    } | spread(search, vector)
    times = {"ask": asked - begin, "rollout": played - asked, "update": told - played}
    players = len(scored.scores)
    failed = len({failure.candidate for failure in scored.failures if failure.candidate < players})
    counted = {"search/failed": max(float(failed), update["search/failed"])}
    return Generation(
        metrics=scored.metrics | update | counted | diagnosis | _named(times, rollout, before),
        promise=scored.center_return,
        stalled=bool(update["search/stalled"]),
        failures=scored.failures,
        failed=failed,
        players=players,
        env_steps=scored.env_steps,
        returns=torch.from_numpy(scored.returns),
    )


def _learn(learner: Learner, rollout: Rollout, plan: Plan, generation: int) -> Generation:
    before = dict(rollout.seconds)
    begin = perf_counter()
    seeds = episode_seeds(plan.seed, Stream.TRAIN, generation, plan.episodes)
    outcome, episodes = rollout.collect(seeds, observe=plan.normalize_observations)
    played = perf_counter()
    update = learner.learn(episodes)
    if plan.normalize_observations:
        normalize(rollout, [outcome], 1)
    described = describe(outcome, 1) | {"rollout/episodes": float(len(seeds))}
    times = {"rollout": played - begin, "update": perf_counter() - played}
    return Generation(
        metrics=described | update | _named(times, rollout, before) | {"learn/failed": float(len(outcome.failures))},
        promise=described.get("rollout/ep_rew_mean", float("nan")),
        stalled=bool(update["learn/stalled"]),
        failures=outcome.failures,
        failed=len(outcome.failures),
        players=len(seeds),
        env_steps=outcome.env_steps,
        returns=torch.from_numpy(outcome.returns),
    )


def _named(times: dict[str, float], rollout: Rollout, before: dict[str, float]) -> Metrics:
    """Where the time of a generation went, those parts of the rollout included that it tells apart."""
    parts = {name: seconds - before[name] for name, seconds in rollout.seconds.items()}
    return {f"time/{name}_s": seconds for name, seconds in (times | parts).items()}
