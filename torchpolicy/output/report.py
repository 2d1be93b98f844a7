"""Handing a run's metrics, pictures and notes to its writers, such that no error of a writer stops the run."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import methodcaller
from pathlib import Path

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.types import Metrics
from torchpolicy.base.user_code import STOPS, in_a_line
from torchpolicy.output.film import Filming
from torchpolicy.output.writers.base import Distributions, MakesWriter, Writer
from torchpolicy.output.writers.make import make_writer, name_of
from torchpolicy.policies.base import Policy


class Report:
    """Hands everything that a run reports to every writer.

    If a writer fails, the user is told once, and the writer is tried again the next time.

    Args:
        filming: Draws the policy now and then. None draws nothing.
    """

    def __init__(self, filming: Filming | None = None) -> None:
        self._writers: list[Writer] = []
        self._filming = filming
        self._last_steps: int | None = None
        self._failed: set[Writer] = set()

    def open(self, kinds: Iterable[MakesWriter], run_dir: Path, resumed_at: int | None) -> None:
        """Open one writer of each kind; see :class:`Writer` for the arguments. Without this call nothing is written.

        Raises:
            CheckpointError: If a file that a writer continues is damaged.
        """
        for kind in kinds:
            try:
                self._writers.append(make_writer(kind, run_dir, resumed_at))
            except (CheckpointError, *STOPS):  # the run's own file is damaged, which is not the writer's fault
                raise
            except BaseException as error:  # no failure of a writer may end a run, SystemExit included
                _shout(f"{name_of(kind)} cannot begin, and is left out: {_in_words(error)}")

    def close(self) -> None:
        """Let every writer write what is left, the last picture with it, and close it."""
        if self._last_steps is not None:
            self._show(lambda filming: filming.last(), self._last_steps)
        for writer in self._writers:
            try:
                writer.close()
            except STOPS:
                raise
            except BaseException as error:
                _shout(f"{type(writer).__name__} cannot be closed: {_in_words(error)}")

    def note(self, text: str) -> None:
        """Tell the user something in one line."""
        for writer in self._writers:
            try:
                writer.note(text)
            except STOPS:
                raise
            except BaseException as error:
                _shout(text)
                self._blame(writer, error, _shout)

    def write(self, metrics: Metrics, progress: float, distributions: Distributions) -> None:
        """Write a generation: its metrics, the share of the run that is done (0 to 1), and tensors for histograms."""
        self._write(lambda writer: writer.write(dict(metrics), progress, distributions))

    def end(self, metrics: Metrics, why: str) -> None:
        """Write the metrics of the final test, and why the run ended."""
        self._write(methodcaller("end", metrics, why))

    def film(self, policy: Policy, env_steps: int) -> None:
        """Hand a picture of the policy to the writers, if one has been finished."""
        self._show(lambda filming: filming.look(policy), env_steps)

    def film_last(self, policy: Policy, env_steps: int) -> None:
        """Begin the picture of the policy that the run keeps; :meth:`close` waits for it."""
        self._last_steps = env_steps
        self._show(lambda filming: filming.begin_last(policy), env_steps)

    def _show(self, take: Callable[[Filming], bytes | None], env_steps: int) -> None:
        """Hand what has been drawn, if anything, to the writers."""
        if self._filming is None:
            return
        try:
            gif = take(self._filming)
        except STOPS:
            raise
        except BaseException as error:  # an environment may raise anything when it is drawn, and the run goes on
            self._filming = None
            self.note(f"no pictures of episodes: {_in_words(error)}")
            return
        if gif is not None:
            self._write(methodcaller("picture", gif, env_steps))

    def _write(self, call: Callable[[Writer], None]) -> None:
        for writer in self._writers:
            try:
                call(writer)
            except STOPS:
                raise
            except BaseException as error:  # a full disk, a number that cannot be drawn, or a bug in the writer
                self._blame(writer, error, self.note)

    def _blame(self, writer: Writer, error: BaseException, tell: Callable[[str], None]) -> None:
        """Tell the user that a writer fails, unless that was told before."""
        if writer not in self._failed:
            self._failed.add(writer)
            tell(f"{type(writer).__name__} cannot write: {_in_words(error)} (the run goes on)")


def _in_words(error: BaseException) -> str:
    """The message of an exception in one line, with its class unless the message stands alone."""
    said = in_a_line(error)
    return said.partition(": ")[2] or said if isinstance(error, OSError | ValueError) else said


def _shout(text: str) -> None:
    """Print a line on standard error, for messages that no writer can pass on."""
    with suppress(OSError, ValueError):  # standard error may be closed
        print(text, file=sys.stderr, flush=True)
