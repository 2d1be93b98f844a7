"""One generation, in one of two ways: ask, play and tell; or play and learn."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, ClassVar

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
from torchpolicy.training.need import EpisodesByNeed
from torchpolicy.training.plan import Plan
from torchpolicy.training.scoring import describe, normalize, score
from torchpolicy.training.stopping import EarlyStopping
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Population


@dataclass(frozen=True)
class Generation:
    """The result of one generation.

    Attributes:
        metrics: Scalars about its episodes and its update, except ``rollout/env_steps`` and the times of the whole.
        promise: The mean return of the center, or of a learner's policy, in training, which may mean that the target
            is reached; NaN if it is unknown.
        stalled: Whether nothing could be learned.
        failures: Failed episodes, in the order of candidates and episodes.
        failed: Number of candidates, or of a learner's episodes, that failed.
        played: Number of candidates, or of a learner's episodes, that were played.
        env_steps: Environment steps of all episodes.
        note: A line for the user; None if there is nothing to tell.
        returns: Returns of the episodes, NaN for a failed one; (P, E) of candidates, (1, E) of a learner's policy.
        scores: (P,) float64, what the search was told of its candidates; NaN for one that failed. None for a learner.
        candidates: The candidates of a search, a population of P vectors (D,): ``candidates.dense()`` is all of them,
            (P, D), and ``candidates[3].dense()`` is the fourth, (1, D). With noise of a low rank only factors are
            held, and `dense` computes the vectors. None for a learner, and once the generation is over.
    """

    metrics: Metrics
    promise: float
    stalled: bool
    failures: list[Failure]
    failed: int
    played: int
    env_steps: int
    returns: Tensor
    note: str | None = None
    scores: Tensor | None = None
    candidates: Population | None = None

    def without_candidates(self) -> "Generation":
        """The same, without the candidates, whose memory the next generation needs."""
        return replace(self, candidates=None)


class Way(ABC):
    """One way in which an algorithm improves the rollout's policy in a generation.

    Attributes:
        prefix: First part of the names of the algorithm's own metrics.
        players: What is counted when it fails, in the plural.
        remedy: What may help where scores do not differ.
        need: Chooses the number of episodes; None where it is fixed.
        early: Stops episodes early; None where none are stopped.
    """

    prefix: ClassVar[str]
    players: ClassVar[str]
    remedy: ClassVar[str]

    def __init__(self, rollout: Rollout, plan: Plan) -> None:
        self.rollout = rollout
        self.plan = plan
        self.need = EpisodesByNeed() if plan.episodes == "auto" else None
        self.early = EarlyStopping(rollout, plan.step_penalty) if plan.stop_early else None

    @abstractmethod
    def improve(self, generation: int) -> Generation:
        """Improve the policy once.

        Args:
            generation: Number of generations before this one.

        Raises:
            RunError: If the update made weights that are not finite.
        """

    def state_dict(self) -> dict[str, Any]:
        """What is remembered from generation to generation."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it does not fit.
        """
        for name, part in self._parts.items():
            if not isinstance(state.get(name), dict):
                raise ValueError(f"lacks {name}")
            part.load_state_dict(state[name])

    @property
    def _parts(self) -> dict[str, EpisodesByNeed | EarlyStopping]:
        """Whatever has a state."""
        parts = {"need": self.need, "early": self.early}
        return {name: part for name, part in parts.items() if part is not None}

    @staticmethod
    def _check_finite(center: Tensor, generation: int) -> None:
        if not center.isfinite().all():
            raise RunError(
                f"generation {generation + 1}: the update made weights that are not finite: try a smaller learning "
                "rate or std, or smaller rewards"
            )


class AskPlayTell(Way):
    """A search: asks it for candidates, plays them, and tells it their scores."""

    prefix, players, remedy = "search", "candidates", "a larger std"

    def __init__(self, search: Search, rollout: Rollout, plan: Plan) -> None:
        super().__init__(rollout, plan)
        self.search = search
        self.vector = ParamVector(rollout.policy.net)

    def improve(self, generation: int) -> Generation:
        search, laps = self.search, Laps(self.rollout)
        episodes = int(self.plan.episodes) if self.need is None else self.need.at(generation)
        candidates = search.ask()
        drawn = as_population(candidates, search.center)
        laps.end("ask")
        scored = score(self.rollout, self.plan, candidates, search.center, generation, episodes, self.early)
        laps.end("rollout")
        scores = torch.from_numpy(scored.scores)
        diagnosis = {
            "search/signal": signal(candidates, scores, search.center, mirrored=search.mirrored),
            "search/ties": ties(scores),
        }
        if self.need is not None:
            each = torch.from_numpy(scored.each_episode)
            self.need.measure(candidates, each, search.center, mirrored=search.mirrored)
            diagnosis |= {"rollout/episodes_each": float(episodes), "search/episode_signal": self.need.ratio}
        laps.skip()
        restarts = search.restarts
        update = search.tell(candidates, scores)
        note = self._begin_again() if search.restarts > restarts else None
        self.vector.write(search.center)
        laps.end("update")
        self._check_finite(search.center, generation)
        played = len(scored.scores)
        failed = len({failure.candidate for failure in scored.failures if failure.candidate < played})
        counted = {"search/failed": max(float(failed), update["search/failed"])}
        diagnosis |= spread(search, self.vector)
        if diagnosis.get("search/noise_norm", 0.0) > 0:
            diagnosis["search/step_over_noise"] = update["search/step_norm"] / diagnosis["search/noise_norm"]
        return Generation(
            metrics=scored.metrics | update | counted | diagnosis | laps.metrics(),
            promise=scored.center_return,
            stalled=bool(update["search/stalled"]),
            failures=scored.failures,
            failed=failed,
            played=played,
            env_steps=scored.env_steps,
            returns=torch.from_numpy(scored.returns),
            note=note,
            scores=scores,
            candidates=drawn,
        )

    def _begin_again(self) -> str:
        """Forget what the search before knew; a line for the user."""
        if self.early is not None:
            self.early.forget()
        return f"the search has stalled, and begins again with a population of {self.search.population}"


class PlayLearn(Way):
    """A learner: plays its policy, and lets it learn from the episodes."""

    prefix, players, remedy = "learn", "episodes", "a policy that samples more widely"

    def __init__(self, learner: Learner, rollout: Rollout, plan: Plan) -> None:
        super().__init__(rollout, plan)
        self.learner = learner

    def improve(self, generation: int) -> Generation:
        plan, laps = self.plan, Laps(self.rollout)
        episodes = int(plan.episodes)
        starts = self.learner.starts_of(episodes)
        seeds = episode_seeds(plan.seed, Stream.TRAIN, generation, starts) * (episodes // starts)
        outcome, played = self.rollout.collect(seeds, observe=plan.normalize_observations)
        laps.end("rollout")
        update = self.learner.learn(played)
        if plan.normalize_observations:
            normalize(self.rollout, [outcome], 1)
        described = describe(outcome, 1) | {"rollout/episodes": float(len(seeds))}
        laps.end("update")
        self._check_finite(self.learner.center, generation)
        failed = len(outcome.failures)
        return Generation(
            metrics=described | update | laps.metrics() | {"learn/failed": float(failed)},
            promise=described.get("rollout/ep_rew_mean", float("nan")),
            stalled=bool(update["learn/stalled"]),
            failures=outcome.failures,
            failed=failed,
            played=len(seeds),
            env_steps=outcome.env_steps,
            returns=torch.from_numpy(outcome.returns),
        )


def way_of(algorithm: Search | Learner, rollout: Rollout, plan: Plan) -> Way:
    """The way in which an algorithm improves the rollout's policy. Nothing asks for its kind after this."""
    if isinstance(algorithm, Search):
        return AskPlayTell(algorithm, rollout, plan)
    return PlayLearn(algorithm, rollout, plan)


class Laps:
    """Seconds that each part of a generation takes, and the parts of the rollout that it measures itself.

    Args:
        rollout: The rollout that plays in this generation.
    """

    def __init__(self, rollout: Rollout) -> None:
        self._rollout, self._before = rollout, dict(rollout.seconds)
        self._laps: dict[str, float] = {}
        self.skip()

    def skip(self) -> None:
        """Begin the next part here."""
        self._begin = perf_counter()

    def end(self, part: str) -> None:
        """End a part here, and begin the next one."""
        self._laps[part] = perf_counter() - self._begin
        self.skip()

    def metrics(self) -> Metrics:
        """The seconds of every part, keyed ``time/<part>_s``."""
        parts = {name: seconds - self._before[name] for name, seconds in self._rollout.seconds.items()}
        return {f"time/{name}_s": seconds for name, seconds in (self._laps | parts).items()}
