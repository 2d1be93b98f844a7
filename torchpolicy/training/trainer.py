"""The loop over generations: training, validation, checkpoints, and the end of a run."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import torch

from torchpolicy.base.errors import RunError
from torchpolicy.base.seeding import Stream
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.output.report import Report
from torchpolicy.output.writers.base import CLOSING, GLANCED, HELD_OUT, ON_TARGET, TESTED
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.rollout.slots import Rollout
from torchpolicy.search.base import Search
from torchpolicy.training.callbacks import Callback
from torchpolicy.training.calling import Callbacks
from torchpolicy.training.diagnosis import distributions
from torchpolicy.training.generation import Generation, way_of
from torchpolicy.training.plan import Plan, in_words
from torchpolicy.training.recovery import Recovery
from torchpolicy.training.validation import Validation, named
from torchpolicy.training.watch import Watch
from torchpolicy.vectors.params import ParamVector

AGREEMENT = 10
"""Generations between checks that all processes have the same center."""


class Trainer:
    """Trains a policy by a search or a learner until the target is reached or the budget is used up.

    Args:
        algorithm: The search or learner that improves the policy: a search over vectors of
            ``ParamVector(policy.net)``, or a learner of that policy.
        policy: The policy. In a search, the center is written into its net after every generation.
        rollout: Plays that policy. The processes of its group train together, each with a trainer of its own.
        plan: How long the run goes on, and how it is scored.
        run_dir: The run's folder, where checkpoints are written. None writes none.
        callbacks: The user's callbacks.
        about: Plain values that every checkpoint holds beside the state.

    Attributes:
        algorithm, policy, rollout, plan, run_dir: As they were given.
        report: Where metrics, pictures and notes go. A new trainer has a report without writers.
        metrics: The metrics of each generation of this session.
        latest: The generation that has been played last, in this session; None before the first.
        generation: Generations done, in all sessions.
        env_steps: Environment steps of training, in all sessions.
        ended: Whether a callback ended the run, in this session or in an earlier one with the same budget.
        validation: The held-out scores of the center, and whether one of them reached the target.
        way: How a generation improves the policy.
        watch: Looks at every generation, and tells what fails or stands still.
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
        self.latest: Generation | None = None
        self.generation = 0
        self.env_steps = 0
        self.ended = False
        self.validation = Validation(algorithm, rollout, plan)
        self.way = way_of(algorithm, rollout, plan)
        self.watch = Watch(rollout.environment, self.way)
        self._callbacks = Callbacks(callbacks, rollout.group)
        folder = None if run_dir is None or rollout.group.rank != 0 else run_dir / "checkpoints"
        self._recovery = Recovery(folder, about or {}, plan.checkpoint_seconds)
        self._promise = nan  # of the present generation
        self._written = self._compiling = 0.0  # seconds of the last generation's writing, of compiling already told
        self._elapsed = 0.0  # seconds of the sessions before
        self._started = time.monotonic()

    @property
    def reasons(self) -> dict[str, float | bool]:
        """Why the run is over, {reason: the setting that was met}; see `plan.REASONS`. Empty while it goes on."""
        holds = {
            "target": self.validation.reached,
            "tolerance": self.validation.settled,
            "callback": self.ended,
            **{budget: share >= 1 for budget, share in self._shares().items()},
        }
        return {reason: getattr(self.plan, reason, True) for reason, it_holds in holds.items() if it_holds}

    @property
    def save_error(self) -> OSError | None:
        """Why the last checkpoint could not be written; None if it could."""
        return self._recovery.error

    @torch.no_grad()
    def run(self) -> None:
        """Train until the run is over. If anything stops it, go back to the start of the generation and save that.

        Raises:
            RunError: If more than half of the candidates failed in two generations running, or a callback failed.
            Stopped: If a signal arrived, after a checkpoint was written.
        """
        self._begin()
        try:
            self._keep(over=False)
            over = self._is_over()
            while not over:
                (done, metrics), begin = self._improve(), time.perf_counter()
                validated = self._validate(metrics)
                self._check_agreement()
                begin, seconds = time.perf_counter(), time.perf_counter() - begin
                metrics |= {"time/eval_s": seconds} if {HELD_OUT[0], GLANCED[0]} & metrics.keys() else {}
                self._callbacks.call("on_generation_end", self, metrics)
                self.latest = done = done.without_candidates()
                over = self._is_over()
                if over and not validated:
                    metrics |= named(HELD_OUT, self._evaluate(Stream.VALIDATION)) | {CLOSING: 1.0}
                self._tell(done, metrics, over=over)
                self._keep(over=over)
                self._written = time.perf_counter() - begin
            self._end()
        except BaseException as error:
            self._go_back(error)
            raise

    def test(self) -> Evaluation:
        """Score the policy that the run keeps, whose weights it gets, on episodes that are used for nothing else."""
        with self.watch.naming(self.generation, self.report.note):
            kept = self.validation.keep_best(self.generation)
            self.report.film_last(self.policy, self.env_steps)
            evaluation = self.validation.test()
        if kept:
            self.report.note(kept)
        end = {ON_TARGET: float("target" in self.reasons)}
        self.report.end(named(TESTED, evaluation) | end | self._place(), in_words(self.reasons))
        return evaluation

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that :meth:`load_state_dict` needs to go on exactly, as tensors and plain values.

        ``generation``, ``env_steps`` and ``ended`` are the attributes; ``budget`` (generations, steps, seconds) says
        for which plan `ended` holds; ``failing`` and ``diagnosis`` are counts of the watch; ``callbacks``,
        ``algorithm`` and ``policy`` are the states of these, ``way`` that of the way to play and tell; ``elapsed`` is
        the number of seconds of training; the rest is the validation's.
        """
        return {
            "generation": self.generation,
            "env_steps": self.env_steps,
            "ended": self.ended,
            "budget": list(self.plan.budget.values()),
            **self.validation.state_dict(),
            "failing": self.watch.failing,
            "diagnosis": self.watch.diagnosis.state_dict(),
            "callbacks": self._callbacks.state_dict(),
            "elapsed": self._seconds(),
            "way": self.way.state_dict(),
            "algorithm": self.algorithm.state_dict(),
            "policy": {name: tensor.clone() for name, tensor in self.policy.state_dict().items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.algorithm.load_state_dict(state["algorithm"])
        self.policy.load_state_dict(state["policy"])
        self.generation, self.env_steps = state["generation"], state["env_steps"]
        self.ended = state["ended"] and state["budget"] == list(self.plan.budget.values())
        self.validation.load_state_dict(state)
        self.watch.failing = state["failing"]
        self.watch.diagnosis.load_state_dict(state["diagnosis"])
        self._callbacks.load_state_dict(state["callbacks"])
        if "way" in state:  # which earlier versions did not keep
            self.way.load_state_dict(state["way"])
        self._elapsed, self._started = state["elapsed"], time.monotonic()

    def _begin(self) -> None:
        """Start the clock and the callbacks, and see that all processes begin with the same weights."""
        self._started = time.monotonic()
        self._callbacks.call("on_start", self)
        if not self.rollout.group.agree(self.algorithm.center, *self.policy.state_dict().values()):
            raise RunError(
                "the processes begin with different weights: whatever makes the policy has to make the same one in "
                "each of them (torch.manual_seed in its factory, for example)"
            )

    def _improve(self) -> tuple[Generation, Metrics]:
        """Train for one generation."""
        begin = time.monotonic()
        with self.watch.naming(self.generation + 1, self.report.note):
            done = self.way.improve(self.generation)
        if self.rollout.compile_seconds > self._compiling:
            self.report.note(f"compiled in {self.rollout.compile_seconds - self._compiling:.1f} s")
            self._compiling = self.rollout.compile_seconds
        self.latest = done = done if self._callbacks else done.without_candidates()
        self.generation += 1
        self.env_steps += done.env_steps
        self._promise = done.promise
        self.watch.look(done, self.generation, self.rollout.longest, self.report.note)
        return done, {
            **self._place(),
            **done.metrics,
            "time/write_s": self._written,
            "time/fps": done.env_steps / (time.monotonic() - begin),
        }

    def _validate(self, metrics: Metrics) -> bool:
        """Score the center on held-out episodes if that is due, or glance at it; whether it was."""
        if not self.validation.is_due(self.generation, self._promise):
            with self.watch.naming(self.generation, self.report.note):
                length = metrics.get("rollout/ep_len_mean", nan)
                glance = self.validation.glance(self.generation, self.env_steps, length)
            metrics |= {} if glance is None else named(GLANCED, glance)
            return False
        evaluation = self._evaluate(Stream.VALIDATION)
        self._callbacks.call("on_evaluation", self, evaluation)
        metrics |= named(HELD_OUT, evaluation)
        with self.watch.naming(self.generation, self.report.note):
            self.validation.take(evaluation, self.generation)
        return True

    def _evaluate(self, stream: Stream) -> Evaluation:
        """Score the center on the held-out episodes of a stream."""
        with self.watch.naming(self.generation, self.report.note):
            return self.validation.evaluate(stream, self.generation)

    def _check_agreement(self) -> None:
        if self.generation % AGREEMENT == 0 and not self.rollout.group.agree(self.algorithm.center):
            raise RunError(f"generation {self.generation}: the processes do not have the same center")

    def _is_over(self) -> bool:
        """Whether the run is over; by the clock of the first process, where a clock decides."""
        self.ended |= self._callbacks.over()
        over = bool(self.reasons)
        return over if self.plan.seconds is None else bool(self.rollout.group.first(float(over)))

    def _tell(self, done: Generation, metrics: Metrics, *, over: bool) -> None:
        """Hand a generation's metrics to the writers, and show the policy."""
        self.metrics.append(metrics)
        share = 1.0 if over else min(1.0, max(self._shares().values(), default=0.0))
        draw = partial(distributions, ParamVector(self.policy.net), self.algorithm, done.returns)
        self.report.write(metrics, share, draw)
        self.report.film(self.policy, self.env_steps)

    def _keep(self, *, over: bool) -> None:
        """Make this the state to go back to, and write a checkpoint if it is time to, or the run is over."""
        self._recovery.state = self.state_dict()
        self._save(now=over)
        self._callbacks.check()

    def _save(self, *, now: bool) -> None:
        error = self._recovery.save(partial(self._callbacks.call, "on_checkpoint", self), now=now)
        if error is not None:
            generation = self._recovery.state["generation"]
            self.report.note(f"generation {generation}: the checkpoint could not be saved: {error}")

    def _end(self) -> None:
        if "tolerance" in self.reasons:
            self.report.note(f"generation {self.generation}: the held-out score stays within {self.plan.tolerance}")
        self._callbacks.call("on_end", self)
        self._callbacks.check()

    def _go_back(self, error: BaseException) -> None:
        """Return to the last whole state and save it."""
        if not self._recovery.state:
            return
        try:
            self.load_state_dict(self._recovery.state)
            self._callbacks.call("on_exception", self, error)
            if self._callbacks.blame not in str(error):
                self.report.note(self._callbacks.blame)
        finally:
            self._save(now=True)

    def _place(self) -> Metrics:
        """How far the run is."""
        counts = {"generation": self.generation, "rollout/env_steps": self.env_steps}
        return {**counts, "time/elapsed": self._seconds()}

    def _shares(self) -> dict[str, float]:
        """The share of each limited budget that is used up."""
        return self.plan.shares(generations=self.generation, total_steps=self.env_steps, seconds=self._seconds())

    def _seconds(self) -> float:
        """Seconds of training in all sessions."""
        return self._elapsed + time.monotonic() - self._started
