"""Callbacks: what the user does along the way of a run, and may end it for."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from pathlib import Path
from typing import Any, Protocol

from torchpolicy.checkpoint import check_saveable
from torchpolicy.checks import MOST_EPISODES, check_count, check_range, check_seed
from torchpolicy.environments import EnvFactory, make_environment
from torchpolicy.evaluation import Evaluation, evaluate_vector
from torchpolicy.params import ParamVector
from torchpolicy.plan import RunError
from torchpolicy.policies.base import Policy
from torchpolicy.processes import Group
from torchpolicy.runs import save_policy
from torchpolicy.seeding import Stream
from torchpolicy.tensor_rollout import make_rollout

ENDING = ("on_generation_end", "on_evaluation")
"""Hooks that may end a run."""


class Run(Protocol):
    """What a callback is told of.

    Attributes:
        policy: As it is after this generation; in a search, with the center as the net's weights.
        generation: How many are done.
        env_steps: In training.
        metrics: Of the generations of this session; the latest comes after `on_generation_end`.
        run_dir: The run's folder, if it has one.
    """

    policy: Policy
    generation: int
    env_steps: int
    metrics: list[dict[str, float]]
    run_dir: Path | None


class Callback:
    """Hooks, each of which does nothing here. Of several processes the first one calls them.

    One that raises ends the run, by its name, after a checkpoint of the generation. What it keeps from generation to
    generation goes into checkpoints by way of `state_dict`, so that a resumed run ends where an unbroken one does.

    Example::

        class Patience(tp.callbacks.Callback):
            def on_generation_end(self, run, metrics):
                return metrics["rollout/ep_len_mean"] > 400  # True ends the run

        tp.train("CartPole-v1", "cem", callbacks=[Patience()])
    """

    def on_start(self, run: Run) -> None:
        """Before the first generation of a session."""

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool | None:
        """After each generation, with its metrics, which may be added to; True ends the run."""

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> bool | None:
        """After each held-out evaluation during training; True ends the run, after this generation."""

    def on_checkpoint(self, run: Run, generation: int) -> None:
        """After a checkpoint of a generation was written."""

    def on_exception(self, run: Run, error: BaseException) -> None:
        """When a session ends by an error or a signal, before it is raised; the run is back at its last whole state."""

    def on_end(self, run: Run) -> None:
        """When a session has come to its end, before the final test."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors that :meth:`load_state_dict` goes on from."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state."""


class StopOnReturn(Callback):
    """Ends the run as soon as a metric has reached a value.

    Args:
        value: To reach.
        metric: By default the mean return of a generation's episodes.
    """

    def __init__(self, value: float, metric: str = "rollout/ep_rew_mean") -> None:
        check_range("value", value, -inf, inf)
        self._value, self._metric = value, metric

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool:
        return metrics.get(self._metric, -inf) >= self._value


class StopOnPlateau(Callback):
    """Ends the run when a metric has not become better for a while.

    Args:
        generations: For so many.
        tolerance: By which it has to be better than the best so far, to count.
        metric: By default the mean return of a generation's episodes.
    """

    def __init__(self, generations: int, tolerance: float = 0.0, metric: str = "rollout/ep_rew_mean") -> None:
        self._generations = check_count("generations", generations, at_least=1)
        check_range("tolerance", tolerance, 0, inf)
        self._tolerance, self._metric = tolerance, metric
        self._best, self._since = -inf, 0

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool:
        value = metrics.get(self._metric, -inf)
        self._since += 1
        if isfinite(value) and value > self._best + self._tolerance:
            self._best, self._since = value, 0
        return self._since >= self._generations

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best, "since": self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._best, self._since = state["best"], state["since"]


class StopAfter(Callback):
    """Ends the run with the generation in which its time is up, counted from the start of this session.

    Args:
        seconds: Of wall time.
    """

    def __init__(self, seconds: float) -> None:
        check_range("seconds", seconds, 0, inf, open_low=True)
        self._seconds, self._begun = seconds, 0.0

    def on_start(self, run: Run) -> None:
        self._begun = time.monotonic()

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool:
        return time.monotonic() - self._begun >= self._seconds


class Evaluate(Callback):
    """Scores the policy in another environment every so often, as ``<name>/mean_reward``.

    Args:
        env: As for :func:`torchpolicy.train`; with the same spaces as the run's.
        name: Of the metric.
        every: Generations between evaluations.
        episodes: Of each.
        seed: Of the episodes, the same each time.
        env_args: Keywords for the environment.
    """

    def __init__(
        self,
        env: str | EnvFactory,
        name: str,
        every: int = 10,
        episodes: int = 20,
        seed: int = 1,
        env_args: Mapping[str, Any] | None = None,
    ) -> None:
        self._environment = make_environment(env, env_args)
        self._name, self._seed = name, check_seed(seed)
        self._every = check_count("every", every, at_least=1)
        self._episodes = check_count("episodes", episodes, at_least=1, at_most=MOST_EPISODES)

    def on_start(self, run: Run) -> None:
        if self._environment.spaces != (run.policy.observation_space, run.policy.action_space):
            raise ValueError(f"{self._environment.name} has other spaces than the run")

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        if run.generation % self._every == 0:
            vector = ParamVector(run.policy.net).read()
            with make_rollout(self._environment, run.policy) as rollout:
                evaluation = evaluate_vector(
                    rollout, vector, seed=self._seed, stream=Stream.CALLBACK, episodes=self._episodes
                )
            metrics[f"{self._name}/mean_reward"] = evaluation.mean


class KeepPolicies(Callback):
    """Saves the policy of every so many generations for good; ``tp.load("RUN/kept/generation-100")`` loads one.

    Args:
        every: Generations.
    """

    def __init__(self, every: int = 100) -> None:
        self._every = check_count("every", every, at_least=1)

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        if run.run_dir is not None and run.generation % self._every == 0:
            save_policy(run.run_dir / "kept" / f"generation-{run.generation}", run.policy, run.generation)


class Callbacks:
    """Calls callbacks, one after the other, in the first process of a group; all processes come to the same end.

    Args:
        callbacks: Of the run; each process has the like.
        group: The processes.

    Attributes:
        asked: Whether one of them has asked for the end.
        blame: Which one failed, in which hook, and how; empty if none did.
    """

    def __init__(self, callbacks: Sequence[Callback], group: Group) -> None:
        self._callbacks = {f"{place} {type(each).__name__}": each for place, each in enumerate(callbacks)}
        self._group = group
        self._states: dict[str, Any] = {key: {} for key in self._callbacks}  # the last whole ones
        self._error: Exception | None = None
        self.asked = False
        self.blame = ""

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of each; what one raises is kept for :meth:`over`."""
        if self._group.rank != 0:
            return
        for callback in self._callbacks.values():
            with self._blaming(callback, hook):
                answer = getattr(callback, hook)(*arguments)
                if hook in ENDING:
                    self.asked |= bool(answer)
                if hook == "on_generation_end":
                    _make_plain(arguments[1])

    def over(self) -> bool:
        """Whether one of them has asked for the end.

        Raises:
            RunError: If one of them has failed, in every process.
        """
        if not self._callbacks:
            return False
        blame = self._group.gather(self.blame)[0] if self._group.first(float(bool(self.blame))) else ""
        if blame:
            raise RunError(blame) from self._error
        return bool(self._group.first(float(self.asked)))

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state of each, by its place and name; the one before, of one that fails."""
        if self._group.rank == 0:
            for key, callback in self._callbacks.items():
                with self._blaming(callback, "state_dict"):
                    state = callback.state_dict()
                    check_saveable(state)
                    self._states[key] = copy.deepcopy(state)
        return dict(self._states)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; callbacks that were not there then begin afresh."""
        if self._group.rank != 0:
            return
        for key, callback in self._callbacks.items():
            if state.get(key):
                with self._blaming(callback, "load_state_dict"):
                    callback.load_state_dict(copy.deepcopy(state[key]))

    @contextmanager
    def _blaming(self, callback: Callback, hook: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self.blame:
                self._error, reason = error, f"{type(error).__name__}: {error}"
                self.blame = f"the callback {type(callback).__name__} failed in {hook}: {reason}"


def _make_plain(metrics: dict[str, float]) -> None:
    """Metrics that were added as numbers that can be written."""
    for key, value in list(metrics.items()):
        if type(value) not in (int, float):
            try:
                metrics[key] = float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                del metrics[key]
                raise ValueError(f"the metric {key} should be a number, got {value!r}") from error


def check_callbacks(callbacks: Sequence[object]) -> list[Callback]:
    """Callbacks as they were given.

    Raises:
        ValueError: If one of them is none.
    """
    if not isinstance(callbacks, Sequence):
        raise ValueError(f"callbacks should be a list of them, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ValueError(f"a callback should be a torchpolicy.callbacks.Callback, an object, got {callback!r}")
    return list(callbacks)  # type: ignore[arg-type]
