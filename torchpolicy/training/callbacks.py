"""Callbacks: the user's own code that is called while a run trains, and that may end the run."""

import time
from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from subprocess import Popen
from typing import Any, Protocol

from torchpolicy.base.checks import MOST_EPISODES, check_count, check_range, check_seed
from torchpolicy.base.seeding import Stream
from torchpolicy.envs.make import EnvFactory, make_environment
from torchpolicy.output.film import open_window, why_no_window
from torchpolicy.output.replay import NO_DISPLAY, has_display
from torchpolicy.output.report import Report
from torchpolicy.output.saved_policy import save_policy
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation, evaluate_vector
from torchpolicy.rollout.make import make_rollout
from torchpolicy.training.generation import Generation
from torchpolicy.vectors.params import ParamVector


class Run(Protocol):
    """The run, as a callback sees it.

    Attributes:
        policy: The policy after this generation. In a search, its net holds the center.
        generation: Generations done.
        env_steps: Environment steps of training.
        metrics: The metrics of each generation of this session; a generation is added after `on_generation_end`.
        latest: The generation that has been played last: its `candidates`, `scores` and `returns`; see
            :class:`torchpolicy.callbacks.Generation`. None before the first of a session. The candidates are there in
            `on_evaluation` and `on_generation_end` only; ``.dense().clone()`` keeps them.
        run_dir: The run's folder; None if it has none.
        report: Where the run's messages go: ``report.note(text)`` shows a line in the terminal and in TensorBoard.
    """

    policy: Policy
    generation: int
    env_steps: int
    metrics: list[dict[str, float]]
    latest: Generation | None
    run_dir: Path | None
    report: Report


class Callback:
    """Hooks that are called while a run trains. Each does nothing unless a subclass overrides it.

    With several processes, only the first one calls them. A hook that raises an exception ends the run with an error
    that names the callback, after a checkpoint of the generation. A callback that remembers something from one
    generation to the next returns it from `state_dict`; then a resumed run ends exactly as an uninterrupted one.

    Example::

        class Patience(tp.callbacks.Callback):
            def on_generation_end(self, run, metrics):
                return metrics["rollout/ep_len_mean"] > 400  # True ends the run

        class KeepBest(tp.callbacks.Callback):  # the weights of the best candidate of each generation
            def on_generation_end(self, run, metrics):
                best = run.latest.scores.nan_to_num(-torch.inf).argmax()
                torch.save(run.latest.candidates[int(best)].dense()[0], f"best-{run.generation}.pt")

        tp.train("CartPole-v1", "cem", callbacks=[Patience(), KeepBest()])
    """

    def on_start(self, run: Run) -> None:
        """Before the first generation of a session."""

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool | None:
        """After each generation, with its metrics, to which more may be added. Returning True ends the run."""

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> bool | None:
        """After each held-out evaluation during training. Returning True ends the run after this generation."""

    def on_checkpoint(self, run: Run, generation: int) -> None:
        """After the checkpoint of a generation was written."""

    def on_exception(self, run: Run, error: BaseException) -> None:
        """When an error or a signal ends a session, after the run has gone back to its last whole state."""

    def on_end(self, run: Run) -> None:
        """When a session has ended regularly, before the final test."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors from which :meth:`load_state_dict` can go on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the state in a checkpoint."""


class StopOnReturn(Callback):
    """Ends the run as soon as a metric reaches a value.

    Args:
        value: The value to reach.
        metric: The key of the metric. The default is the mean return of a generation's episodes.
    """

    def __init__(self, value: float, metric: str = "rollout/ep_rew_mean") -> None:
        check_range("value", value, -inf, inf)
        self._value, self._metric = value, metric

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> bool:
        return metrics.get(self._metric, -inf) >= self._value


class StopOnPlateau(Callback):
    """Ends the run when a metric has not improved for some generations.

    Args:
        generations: Generations without an improvement after which the run ends.
        tolerance: Amount by which a value must exceed the best so far to count as an improvement.
        metric: The key of the metric. The default is the mean return of a generation's episodes.
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
    """Ends the run after the generation in which its time is up, counted from the start of this session.

    Args:
        seconds: Wall time in seconds.
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
        env: The environment, in any form that :func:`torchpolicy.train` takes, with the same spaces as the run's.
        name: First part of the metric's key.
        every: Generations between evaluations.
        episodes: Episodes of each evaluation.
        seed: Seed of the episodes, which are the same in every evaluation.
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
        """Compare the spaces before the first generation.

        Raises:
            ValueError: If the environment has other spaces than the run.
        """
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


class Render(Callback):
    """Shows an episode of the policy in a window every so often, while the run goes on.

    The next window opens when the last one has closed. Where no window can be opened, one line says why, and the run
    goes on without.

    Args:
        env: A Gymnasium id, or ``"pkg.mod:callable"``, where the callable takes `render_mode`.
        every: Generations between windows.
        seed: Root of the episode's seed, which is the same in every window.
        env_args: Keyword arguments of the environment.
        max_episode_steps: Time limit in steps, which replaces the environment's own.
    """

    def __init__(
        self,
        env: str,
        every: int = 10,
        seed: int = 1,
        env_args: Mapping[str, Any] | None = None,
        max_episode_steps: int | None = None,
    ) -> None:
        self._every = check_count("every", every, at_least=1)
        self._what = env, env_args, max_episode_steps, check_seed(seed)
        self._window: Popen[str] | None = None
        self._shows = True

    def on_start(self, run: Run) -> None:
        if not has_display():
            self._give_up(run, NO_DISPLAY)

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        if self._window is not None and self._window.poll() is not None:
            why, self._window = why_no_window(self._window), None
            if why is not None:
                self._give_up(run, why)
        if self._window is None and self._shows and run.generation % self._every == 0:
            self._window = open_window(run.policy, *self._what)

    def on_end(self, run: Run) -> None:
        self._close()

    def on_exception(self, run: Run, error: BaseException) -> None:
        self._close()

    def _give_up(self, run: Run, why: str) -> None:
        """Say why no windows can be opened, and open none from now on."""
        self._shows = False
        run.report.note(f"no windows with episodes: {why}")

    def _close(self) -> None:
        if self._window is not None:
            self._window.kill()
            self._window.communicate()
            self._window = None


class KeepPolicies(Callback):
    """Saves the policy every so often and never deletes it; ``tp.load("RUN/kept/generation-100")`` loads one.

    Args:
        every: Generations between saved policies.
    """

    def __init__(self, every: int = 100) -> None:
        self._every = check_count("every", every, at_least=1)

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        if run.run_dir is not None and run.generation % self._every == 0:
            (run.run_dir / "kept").mkdir(exist_ok=True)
            save_policy(run.run_dir / "kept" / f"generation-{run.generation}", run.policy, run.generation)
