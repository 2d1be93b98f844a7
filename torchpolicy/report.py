"""What a run tells: metrics to its writers, pictures, notes. No full disk and no renderer stops the run by it."""

from collections.abc import Callable, Sequence
from operator import methodcaller

from torchpolicy.film import Filming
from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Metrics
from torchpolicy.writers.base import Distributions, Writer


class Report:
    """Hands on to every writer; one that cannot write is told of once.

    Args:
        writers: None where another process writes.
        filming: Draws the policy every so often.
    """

    def __init__(self, writers: Sequence[Writer] = (), filming: Filming | None = None) -> None:
        self._writers = writers
        self._filming = filming
        self._failed: set[Writer] = set()

    def note(self, text: str) -> None:
        """A line for people."""
        for writer in self._writers:
            writer.note(text)

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
        except Exception as error:  # whatever an environment does when it is drawn, the run goes on
            self.note(f"no pictures of episodes: {str(error).splitlines()[0]}")
            self._filming = None
            return
        if gif is not None:
            self._write(methodcaller("picture", gif, env_steps))

    def _write(self, call: Callable[[Writer], None]) -> None:
        for writer in self._writers:
            try:
                call(writer)
            except OSError as error:
                if writer not in self._failed:
                    self.note(f"{type(writer).__name__} cannot write: {error}")
                self._failed.add(writer)
