"""Warnings about a run: what fails, what stands still, what takes long; and the end of a run that cannot go on."""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torchpolicy.base.errors import CodeError, RunError
from torchpolicy.base.processes import LostProcessError
from torchpolicy.base.user_code import STOPS, in_a_line, memory_needed
from torchpolicy.envs.base import RUNAWAY_STEPS, Environment
from torchpolicy.training.diagnosis import Diagnosis
from torchpolicy.training.generation import Generation, Way
from torchpolicy.training.outlook import outlook

LONG_STEPS = 10_000
"""Steps of an episode without a known time limit from which on the user is told about it."""

Note = Callable[[str], None]
"""A function that tells the user one line."""


class Watch:
    """Looks at every generation of a run.

    Args:
        environment: The environment of the run.
        way: The way in which a generation improves the policy, by whose words the user is told.

    Attributes:
        diagnosis: Finds out why a run stands still.
        failing: Generations in a row in which more than half of the candidates failed.
    """

    def __init__(self, environment: Environment, way: Way) -> None:
        self.diagnosis = Diagnosis(way.remedy)
        self.failing = 0
        self._environment, self._way = environment, way
        self._told_failure = False
        self._told_steps = 0  # how long an episode was when that was told

    def look(self, done: Generation, generation: int, longest: int, note: Note) -> None:
        """Tell the user what fails, stands still or takes long, and at first how far the budget goes.

        Args:
            done: The result of the generation.
            generation: Its number, from 1.
            longest: Steps of the longest episode so far.
            note: Tells the user one line.

        Raises:
            RunError: If more than half of the candidates failed in two generations running.
        """
        name = self._environment.name
        if generation == 1:
            seconds = sum(done.metrics.get(f"time/{part}_s", 0.0) for part in ("ask", "rollout", "update"))
            if (line := outlook(self._way.plan, done.env_steps, seconds)) is not None:
                note(line)
        if done.failures and not self._told_failure:
            first = done.failures[0]
            note(f"generation {generation}, {name}: failed: {first}")
            if first.details:
                note(first.details)
            note(f"(further failures are counted as {self._way.prefix}/failed)")
            self._told_failure = True
        self.failing = self.failing + 1 if done.failed > done.played / 2 else 0
        if self.failing == 2:
            raise RunError(
                f"{done.failed} of {done.played} {self._way.players} failed in {name}, the second generation running "
                f"(generation {generation}); the first: {done.failures[0]}"
            )
        if self._environment.time_limit is None:
            self._tell_length(longest, note)
        if done.note is not None:
            note(f"generation {generation}: {done.note}")
        text = self.diagnosis.look(done.metrics, stalled=done.stalled)
        if text is not None:
            note(f"generation {generation}: {text}")

    def _tell_length(self, longest: int, note: Note) -> None:
        """Tell once that an episode is long, and once that one was cut off."""
        name = self._environment.name
        if longest >= RUNAWAY_STEPS > self._told_steps:
            note(
                f"an episode of {name} was cut off after {RUNAWAY_STEPS:,} steps, as at a time limit, and its return "
                "counts (set max_episode_steps)"
            )
        elif longest >= LONG_STEPS > self._told_steps:
            note(
                f"an episode of {name} took {longest:,} steps, and no time limit is known: episodes are cut off after "
                f"{RUNAWAY_STEPS:,} steps (set max_episode_steps)"
            )
        self._told_steps = max(self._told_steps, longest)

    @contextmanager
    def naming(self, generation: int, note: Note) -> Iterator[None]:
        """End the run with generation, environment and reason where a network, or anything else, raises.

        Raises:
            RunError: Instead of the exception, which is noted with its traceback.
        """
        try:
            yield
        except (RunError, LostProcessError, *STOPS):
            raise
        except BaseException as error:
            if memory_needed(error) is not None:  # reported elsewhere, with the amount
                raise
            note("".join(traceback.format_exception(error.__cause__ or error)).rstrip())
            reason = str(error) if isinstance(error, CodeError) else in_a_line(error)
            raise RunError(f"generation {generation}, {self._environment.name}: {reason}") from error
