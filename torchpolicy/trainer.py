"""One generation at a time."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch

from torchpolicy.envs.base import RUNAWAY_STEPS
from torchpolicy.evaluation import Evaluation, evaluate_vector
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.processes import one_thread
from torchpolicy.rollout import Outcome, Rollout
from torchpolicy.search.base import Metrics, Search, check_count, check_range
from torchpolicy.seeding import Stream, episode_seeds
from torchpolicy.writers.base import Writer

STALLED_WARNING = 10
"""Stalled generations in a row after which the user is told."""


class RunError(RuntimeError):
    """A run that cannot go on, as when the environment fails under most candidates."""


@dataclass(frozen=True)
class Plan:
    """How long a run goes on, and how its center is scored on the way.

    Attributes:
        seed: Root of all episodes' seeds.
        episodes: E, per candidate and generation.
        target: Stop when the center's held-out score reaches it, lower end of the interval, on two
            sets of episodes; None: go on until the budget is used up.
        generations: Budget of generations.
        total_steps: Budget of environment steps in training.
        seconds: Budget of wall time. The only one that makes a run end elsewhere the next time.
        eval_episodes: Of each held-out evaluation.
        eval_every: Generations between validations.
    """

    seed: int
    episodes: int = 1
    target: float | None = None
    generations: int | None = None
    total_steps: int | None = None
    seconds: float | None = None
    eval_episodes: int = 100
    eval_every: int = 10

    def __post_init__(self) -> None:
        for name in ("episodes", "eval_episodes", "eval_every", "generations", "total_steps"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), at_least=1)
        if self.seconds is not None:
            check_range("seconds", self.seconds, 0, inf, open_low=True)

    def progress(self, generation: int, env_steps: int, elapsed: float) -> float:
        """Share of the budget that is used up, at most 1."""
        used = (generation, self.generations), (env_steps, self.total_steps), (elapsed, self.seconds)
        return min(1.0, max((amount / budget for amount, budget in used if budget is not None), default=0.0))


class Trainer:
    """Runs a search on the weights of a policy until its target or the end of its budget.

    Args:
        search: Over vectors of ``ParamVector(policy.net)``.
        policy: Holds the search's center after every generation.
        rollout: Plays that policy.
        plan: How long, and how to score.
        writers: Get the metrics of each generation.
    """

    def __init__(
        self, search: Search, policy: Policy, rollout: Rollout, plan: Plan, writers: Sequence[Writer] = ()
    ) -> None:
        self.search = search
        self.vector = ParamVector(policy.net)
        self.rollout = rollout
        self.plan = plan
        self.writers = writers
        self.metrics: list[Metrics] = []
        self.generation = 0
        self.env_steps = 0
        self._failing = self._stalled = 0  # generations in a row
        self._center_scores: deque[float] = deque(maxlen=3)
        self._started = time.monotonic()

    @torch.no_grad()
    def run(self) -> None:
        """Generation after generation.

        Raises:
            RunError: If more than half of the candidates failed in two generations running.
        """
        with one_thread():
            self._started = time.monotonic()
            if self.rollout.environment.time_limit is None:
                self._note(
                    f"{self.rollout.environment.name} has no time limit that is known of: an episode fails after "
                    f"{RUNAWAY_STEPS:,} steps (set max_episode_steps)"
                )
            reached, progress = False, self._progress()
            while not reached and progress < 1:
                metrics = self._generation()
                if self._validation_is_due():
                    reached = self._validate(metrics)
                progress = self._progress()
                self.metrics.append(metrics)
                for writer in self.writers:
                    writer.write(metrics, 1.0 if reached else progress)

    def test(self) -> Evaluation:
        """Score the center on the episodes that nothing else uses."""
        with one_thread():
            return self._evaluate(Stream.TEST)

    def _generation(self) -> Metrics:
        """Ask, play, tell."""
        begin = time.monotonic()
        candidates = self.search.ask()
        center = self.search.center[None]
        asked = time.monotonic()
        seeds = episode_seeds(self.plan.seed, Stream.TRAIN, self.generation, self.plan.episodes)
        outcome = self.rollout.play(torch.cat([candidates, center]), seeds)  # the center plays along, unheard
        played = time.monotonic()
        scores = outcome.scores[:-1]
        update = self.search.tell(candidates, torch.from_numpy(scores))
        self.vector.write(self.search.center)
        end = time.monotonic()
        self.generation += 1
        self.env_steps += outcome.env_steps
        self._center_scores.append(outcome.scores[-1])
        self._watch(outcome, update)
        return {
            "generation": self.generation,
            **_describe(outcome, self.env_steps),
            **update,
            "time/slot_utilisation": outcome.slot_utilisation,
            "time/fps": outcome.env_steps / (end - begin),
            "time/rollout_s": played - asked,
            "time/update_s": asked - begin + end - played,
            "time/elapsed": end - self._started,
        }

    def _watch(self, outcome: Outcome, update: Metrics) -> None:
        """Speak up about what fails or stands still."""
        generation, failures = self.generation, outcome.failures
        if failures and not self._failing:
            self._note(f"generation {generation}, {self.rollout.environment.name}: failed: {failures[0]}")
        failed = len({failure.candidate for failure in failures})
        self._failing = self._failing + 1 if failed > len(outcome.scores) / 2 else 0
        if self._failing == 2:
            raise RunError(
                f"{failed} of {len(outcome.scores)} candidates failed in {self.rollout.environment.name}, the second "
                f"generation running (generation {generation}); the first: {failures[0]}"
            )
        self._stalled = self._stalled + 1 if update["search/stalled"] else 0
        if self._stalled == STALLED_WARNING:
            self._note(
                f"generation {generation}: no two scores have differed for {self._stalled} generations, so nothing "
                "can be learned: a larger std, more episodes or a denser reward may help"
            )

    def _validation_is_due(self) -> bool:
        """At a cadence, and as soon as the center's own score promises the target."""
        target = self.plan.target
        scores = self._center_scores
        promising = target is not None and len(scores) == scores.maxlen and sum(scores) >= target * len(scores)
        return promising or self.generation % self.plan.eval_every == 0

    def _validate(self, metrics: Metrics) -> bool:
        """Score the center; whether it reached the target."""
        self._center_scores.clear()
        evaluation = self._evaluate(Stream.VALIDATION)
        low, high = evaluation.ci
        metrics |= {"eval/mean_reward": evaluation.mean, "eval/ci_low": low, "eval/ci_high": high}
        target = inf if self.plan.target is None else self.plan.target
        return low >= target and self._evaluate(Stream.CONFIRMATION).ci[0] >= target

    def _evaluate(self, stream: Stream) -> Evaluation:
        generation = 0 if stream is Stream.TEST else self.generation
        return evaluate_vector(
            self.rollout,
            self.search.center,
            seed=self.plan.seed,
            stream=stream,
            episodes=self.plan.eval_episodes,
            generation=generation,
        )

    def _progress(self) -> float:
        return self.plan.progress(self.generation, self.env_steps, time.monotonic() - self._started)

    def _note(self, text: str) -> None:
        for writer in self.writers:
            writer.note(text)


def _describe(outcome: Outcome, env_steps: int) -> Metrics:
    """Scalars of a generation whose last candidate is the center."""
    metrics: Metrics = {"rollout/env_steps": env_steps, "rollout/episodes": outcome.returns.size}
    played = np.isfinite(outcome.returns[:-1])
    if played.any():
        returns = outcome.returns[:-1][played]
        metrics |= {
            "rollout/ep_rew_mean": float(returns.mean()),
            "rollout/ep_rew_max": float(returns.max()),
            "rollout/ep_rew_min": float(returns.min()),
            "rollout/ep_rew_std": float(returns.std()),
            "rollout/ep_len_mean": float(outcome.lengths[:-1][played].mean()),
        }
    scores, center = outcome.scores[:-1], outcome.scores[-1]
    if np.isfinite(center):
        better, equal = (scores > center).sum(), (scores == center).sum()
        metrics |= {"search/center_score": float(center), "search/center_rank": 1 + float(better + equal / 2)}
    return metrics
