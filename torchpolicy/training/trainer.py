"""One generation at a time."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import torch

from torchpolicy.base.errors import RunError
from torchpolicy.base.seeding import Stream
from torchpolicy.base.storage import save_checkpoint
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.output.report import Report
from torchpolicy.output.writers.base import CLOSING, HELD_OUT
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation, evaluate_vector
from torchpolicy.rollout.slots import Rollout
from torchpolicy.search.base import Search
from torchpolicy.training.callbacks import Callback
from torchpolicy.training.calling import Callbacks
from torchpolicy.training.diagnosis import distributions
from torchpolicy.training.generation import Generation, run_generation
from torchpolicy.training.plan import Plan
from torchpolicy.training.watch import Watch
from torchpolicy.vectors.params import ParamVector

AGREEMENT = 10
"""Generations between checks that all processes have the same center."""

CHECKPOINT_SHARE = 0.01
"""Of a run's time, at most, goes into checkpoints."""


class Trainer:
    """Runs a search over the weights of a policy, or a learner of it, until its target or the end of its budget.

    Args:
        algorithm: A search over vectors of ``ParamVector(policy.net)``, or a learner of that policy.
        policy: Holds the search's center after every generation.
        rollout: Plays that policy. Processes of its group train together, each with a trainer of its own.
        plan: How long, and how to score.
        run_dir: The run's folder, for checkpoints; None for no checkpoints.
        callbacks: Called along the way.
        about: What its checkpoints say of the run, beside the state.

    Attributes:
        diagnosis: Looks at the metrics of every generation.
        report: Gets what there is to tell; by default nobody hears it.
        metrics: Of the generations of this session.
        generation: How many are done.
        env_steps: In training, by all sessions.
        reached: Whether the target was.
        ended: Whether a callback ended an earlier session of the same budget.
        validations: (generation, held-out score of the center), by all sessions.
        save_error: Why the last checkpoint could not be written, if it could not.
    """

    def __init__(
        self,
        algorithm: Search | Learner,
        policy: Policy,
        rollout: Rollout,
        plan: Plan,
        *,
        run_dir: Path | None = None,
        callbacks: Sequence[Callback] = (),
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.algorithm = algorithm
        self.policy = policy
        self.rollout = rollout
        self.plan = plan
        self.run_dir = run_dir
        self.report = Report()
        self.metrics: list[Metrics] = []
        self.generation = 0
        self.env_steps = 0
        self.reached = self.ended = False
        self.validations: list[tuple[int, float]] = []
        self.save_error: OSError | None = None
        self._about = dict(about or {})
        self._saved = -1  # generation of the last checkpoint
        self.watch = Watch(rollout.environment, searching=isinstance(algorithm, Search))
        self._callbacks = Callbacks(callbacks, rollout.group)
        self._promise = nan  # this generation's
        self._written = self._compiling = 0.0  # seconds, of the last generation's writing, of compiling that was told
        self._elapsed = 0.0  # seconds, of the sessions before
        self._started = time.monotonic()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.reached or self.settled or self.ended or self._progress() >= 1

    @property
    def settled(self) -> bool:
        """Whether the center's score has stayed within the plan's tolerance."""
        return self.plan.is_settled(self.validations)

    @torch.no_grad()
    def run(self) -> None:
        """Generation after generation, each whole or not at all: a stop goes back to the last one's end.

        Raises:
            RunError: If more than half of the candidates failed in two generations running, or a callback failed.
            Stopped: By a signal, after a checkpoint.
        """
        group = self.rollout.group
        self._started = time.monotonic()
        self._callbacks.call("on_start", self)
        if not group.agree(self.algorithm.center, *self.policy.state_dict().values()):
            raise RunError(
                "the processes begin with different weights: whatever makes the policy has to make the same one in "
                "each of them (torch.manual_seed in its factory, for example)"
            )
        state = self.state_dict()
        save_at = self._save(state)
        try:
            self._callbacks.check()
            over = self._is_over()
            while not over:
                done, metrics = self._generation()
                if due := self._validation_is_due():
                    self.reached = self._validate(metrics)
                if self.generation % AGREEMENT == 0 and not group.agree(self.algorithm.center):
                    raise RunError(f"generation {self.generation}: the processes do not have the same center")
                computed = time.perf_counter()
                self._callbacks.call("on_generation_end", self, metrics)
                over = self._is_over()
                if over and not due:
                    metrics |= _held_out(self._evaluate(Stream.VALIDATION)) | {CLOSING: 1.0}
                self.metrics.append(metrics)
                progress = 1.0 if over else self._progress()
                draw = partial(distributions, ParamVector(self.policy.net), self.algorithm, done.returns)
                self.report.write(metrics, progress, draw)
                self.report.film(self.policy, self.env_steps)
                state = self.state_dict()
                if time.monotonic() >= save_at:
                    save_at = self._save(state)
                self._written = time.perf_counter() - computed
                self._callbacks.check()
            if self.settled:
                self.report.note(
                    f"generation {self.generation}: the held-out score stays within {self.plan.tolerance}: done"
                )
            if state["generation"] != self._saved:
                self._save(state)
            self._callbacks.call("on_end", self)
            self._callbacks.check()
        except BaseException as error:
            self.load_state_dict(state)
            self._callbacks.call("on_exception", self, error)
            if self._callbacks.blame not in str(error):
                self.report.note(self._callbacks.blame)
            raise
        finally:
            if state["generation"] != self._saved:
                self._save(state)

    def state_dict(self) -> dict[str, Any]:
        """All that :meth:`load_state_dict` needs to go on exactly, as tensors and plain values."""
        return {
            "generation": self.generation,
            "env_steps": self.env_steps,
            "reached": self.reached,
            "target": self.plan.target,
            "ended": self.ended or self._callbacks.asked,
            "budget": self.plan.budget,
            "validations": [list(each) for each in self.validations],
            "failing": self.watch.failing,
            "diagnosis": self.watch.diagnosis.state_dict(),
            "callbacks": self._callbacks.state_dict(),
            "elapsed": self._seconds(),
            "algorithm": self.algorithm.state_dict(),
            "policy": {name: tensor.clone() for name, tensor in self.policy.state_dict().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.algorithm.load_state_dict(state["algorithm"])
        self.policy.load_state_dict(state["policy"])
        self.generation, self.env_steps = state["generation"], state["env_steps"]
        self.reached = state["reached"] and state["target"] == self.plan.target
        self.ended = state["ended"] and state["budget"] == self.plan.budget
        self.validations = [(generation, score) for generation, score in state["validations"]]
        self.watch.failing = state["failing"]
        self.watch.diagnosis.load_state_dict(state["diagnosis"])
        self._callbacks.load_state_dict(state["callbacks"])
        self._elapsed, self._started = state["elapsed"], time.monotonic()

    def _is_over(self) -> bool:
        """Whether to stop here; by the clock of the first process, where a clock decides."""
        if self._callbacks.over():
            return True
        if self.plan.seconds is None:
            return self.finished
        return bool(self.rollout.group.first(float(self.finished)))

    def _save(self, state: dict[str, Any]) -> float:
        """Write a checkpoint, if this is the process that does; when to write the next, on the monotonic clock."""
        begin = time.monotonic()
        if self.run_dir is None or self.rollout.group.rank != 0:
            return inf
        try:
            save_checkpoint(self.run_dir / "checkpoints", state["generation"], self._about | state)
            self._saved, self.save_error = state["generation"], None
            self._callbacks.call("on_checkpoint", self, state["generation"])
        except OSError as error:
            self.save_error = error
            self.report.note(f"generation {state['generation']}: the checkpoint could not be saved: {error}")
        end = time.monotonic()
        pause = self.plan.checkpoint_seconds
        return end + max(pause, (end - begin) / CHECKPOINT_SHARE) if pause else end

    def test(self) -> Evaluation:
        """Score the center on the episodes that nothing else uses."""
        evaluation = self._evaluate(Stream.TEST)
        low, high = evaluation.ci
        metrics = {"test/mean_reward": evaluation.mean, "test/ci_low": low, "test/ci_high": high}
        metrics["rollout/env_steps"] = self.env_steps
        self.report.end(metrics)
        return evaluation

    def _generation(self) -> tuple[Generation, Metrics]:
        """One more."""
        begin = time.monotonic()
        with self.watch.naming(self.generation + 1, self.report.note):
            done = run_generation(self.algorithm, self.rollout, self.plan, self.generation)
        if self.rollout.compile_seconds > self._compiling:
            self.report.note(f"compiled in {self.rollout.compile_seconds - self._compiling:.1f} s")
            self._compiling = self.rollout.compile_seconds
        self.generation += 1
        self.env_steps += done.env_steps
        self._promise = done.promise
        self.watch.look(done, self.generation, self.rollout.longest, self.report.note)
        return done, {
            "generation": self.generation,
            "rollout/env_steps": self.env_steps,
            **done.metrics,
            "time/write_s": self._written,
            "time/fps": done.env_steps / (time.monotonic() - begin),
            "time/elapsed": self._seconds(),
        }

    def _validation_is_due(self) -> bool:
        """At a cadence, and as soon as a score in training promises the target."""
        promising = self.plan.target is not None and self._promise >= self.plan.target
        return promising or self.generation % self.plan.eval_every == 0

    def _validate(self, metrics: Metrics) -> bool:
        """Score the center; whether it reached the target."""
        evaluation = self._evaluate(Stream.VALIDATION)
        self._callbacks.call("on_evaluation", self, evaluation)
        metrics |= _held_out(evaluation)
        if isfinite(evaluation.mean):
            self.validations.append((self.generation, evaluation.mean))
        target = inf if self.plan.target is None else self.plan.target
        return evaluation.ci[0] >= target and self._evaluate(Stream.CONFIRMATION).ci[0] >= target

    def _evaluate(self, stream: Stream) -> Evaluation:
        generation = 0 if stream is Stream.TEST else self.generation
        with self.watch.naming(self.generation, self.report.note):
            return evaluate_vector(
                self.rollout,
                self.algorithm.center,
                seed=self.plan.seed,
                stream=stream,
                episodes=self.plan.eval_episodes,
                generation=generation,
            )

    def _progress(self) -> float:
        return self.plan.progress(self.generation, self.env_steps, self._seconds())

    def _seconds(self) -> float:
        """Of training, by all sessions."""
        return self._elapsed + time.monotonic() - self._started


def _held_out(evaluation: Evaluation) -> Metrics:
    """A held-out evaluation, for the metrics."""
    return dict(zip(HELD_OUT, (evaluation.mean, *evaluation.ci), strict=True))
