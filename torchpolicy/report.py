"""What a run tells: metrics to its writers, pictures, notes. Nothing that goes wrong there stops the run."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import methodcaller
from pathlib import Path

from torchpolicy.checkpoint import CheckpointError
from torchpolicy.film import Filming
from torchpolicy.foreign import STOPS, in_a_line
from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Metrics
from torchpolicy.writers.base import Distributions, Writer


class Report:
    """Hands on to every writer. One that fails, in whatever way, is told of once, and tried again the next time.

    Args:
        filming: Draws the policy every so often.
    """

    def __init__(self, filming: Filming | None = None) -> None:
        self._writers: list[Writer] = []
        self._filming = filming
        self._failed: set[Writer] = set()

    def open(self, kinds: Iterable[type[Writer]], run_dir: Path, resumed_at: int | None) -> None:
        """Begin to write to one writer of each kind; see :class:`Writer`. Without this, nobody hears anything."""
        for kind in kinds:
            try:
                self._writers.append(kind(run_dir, resumed_at))
            except (CheckpointError, *STOPS):  # what is there already is damaged, which is not the writer's fault
                raise
            except BaseException as error:  # whatever it is, SystemExit included, a writer is not worth a run
                _shout(f"{kind.__name__} cannot begin, and is left out: {_in_words(error)}")

    def close(self) -> None:
        """Let every writer write what is left."""
        for writer in self._writers:
            try:
                writer.close()
            except STOPS:
                raise
            except BaseException as error:
                _shout(f"{type(writer).__name__} cannot be closed: {_in_words(error)}")

    def note(self, text: str) -> None:
        """A line for people."""
        for writer in self._writers:
            try:
                writer.note(text)
            except STOPS:
                raise
            except BaseException as error:
                _shout(text)
                self._blame(writer, error, _shout)

    def write(self, metrics: Metrics, progress: float, distributions: Distributions) -> None:
        """A generation: its metrics, how much of the run is done (0 to 1), and what histograms are made of."""
        self._write(methodcaller("write", metrics, progress, distributions))

    def end(self, metrics: Metrics) -> None:
        """The final test."""
        self._write(methodcaller("end", metrics))

    def film(self, policy: Policy, env_steps: int) -> None:
        """Show the policy, when there is a picture of it."""
        if self._filming is None:
            return
        try:
            gif = self._filming.look(policy)
        except STOPS:
            raise
        except BaseException as error:  # whatever an environment does when it is drawn, the run goes on
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
            except BaseException as error:  # as at a full disk, at a number that it cannot draw, or by a mistake in it
                self._blame(writer, error, self.note)

    def _blame(self, writer: Writer, error: BaseException, tell: Callable[[str], None]) -> None:
        """Say once of a writer that it fails."""
        if writer not in self._failed:
            self._failed.add(writer)
            tell(f"{type(writer).__name__} cannot write: {_in_words(error)} (the run goes on)")


def _in_words(error: BaseException) -> str:
    """What was raised, in one line, and of what kind it is, unless that is plain."""
    said = in_a_line(error)
    return said.partition(": ")[2] or said if isinstance(error, OSError | ValueError) else said


def _shout(text: str) -> None:
    """Tell the terminal, where no writer does."""
    with suppress(OSError, ValueError):  # nobody may be there any more
        print(text, file=sys.stderr, flush=True)
