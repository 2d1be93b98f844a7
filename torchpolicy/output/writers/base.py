"""The interface of all writers: a writer records the metrics of a run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

Distributions = Callable[[], Mapping[str, Tensor]]
"""A function that returns tensors for histograms by name. Only a writer that draws histograms calls it."""

HELD_OUT = ("eval/mean_reward", "eval/ci_low", "eval/ci_high")
"""Keys of a held-out evaluation: its mean, and the ends of its 95 % interval."""

GLANCED = ("glance/mean_reward", "glance/ci_low", "glance/ci_high")
"""Keys of a glance, likewise: a few held-out episodes that are played for the learning curve and decide nothing. They
have keys of their own, so that whoever reads held-out scores, as a callback or a sweep, reads whole evaluations."""

TESTED = ("test/mean_reward", "test/ci_low", "test/ci_high")
"""Keys of the final test, likewise."""

ON_TARGET = "end/target_reached"
"""Key that says, with the final test, whether the run ended because its target was reached: 1 if so, 0 otherwise."""

CLOSING = "eval/closing"
"""Key that marks a held-out evaluation made only because the run ended, in a generation where none was due. It is made
for the learning curve and decides nothing. A run that is resumed removes it again, so that its metrics are those of a
run that never stopped there."""


def no_distributions() -> Mapping[str, Tensor]:
    """No tensors, for generations without histograms."""
    return {}


class Writer(ABC):
    """Records what a run reports, one generation after another, in one place, such as a file or a server.

    The run's own writers are the console's, that of ``metrics.jsonl`` and TensorBoard's. Yours comes beside them with
    ``tp.train(…, writers=[MyWriter])``, or with ``functools.partial(MyWriter, project="lander")`` if its constructor
    takes more than the two arguments below. It is made in the process that reports, and only there, and cannot change
    a run: nothing that it returns or raises has an effect on the results. ``config.json`` in the run's folder has the
    settings, and stands there before a writer is made.

    Example::

        class Lines(tp.Writer):
            def write(self, metrics, progress, distributions=None):
                with (self.run_dir / "lines.txt").open("a") as file:
                    print(metrics["rollout/env_steps"], metrics.get("eval/mean_reward"), file=file)

            def close(self):
                pass

        tp.train("CartPole-v1", "cem", writers=[Lines])

    Args:
        run_dir: The run's folder, which exists.
        resumed_at: Number of environment steps from which the run goes on; everything written past it is removed.
            None for a new run.
    """

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        self.run_dir = run_dir
        self.resumed_at = resumed_at

    @abstractmethod
    def write(
        self, metrics: dict[str, float], progress: float, distributions: Distributions = no_distributions
    ) -> None:
        """Write one generation.

        Args:
            metrics: Scalars by key; ``rollout/env_steps`` is their place on the x-axis.
            progress: Share of the budget that is used up, 0 to 1.
            distributions: Returns tensors for histograms of this generation, valid during the call only.

        Raises:
            Exception: If the generation cannot be written, such as OSError when the disk is full. The run tells the
                user once, goes on, and tries again with the next generation.
        """

    def note(self, text: str) -> None:  # noqa: B027
        """Tell the user something in words. By default it is ignored."""

    def picture(self, gif: bytes, env_steps: int) -> None:  # noqa: B027
        """Show an episode of the policy as it was after `env_steps` environment steps. By default it is ignored."""

    def end(self, metrics: dict[str, float], why: str) -> None:  # noqa: B027
        """Write the final test, and why the run ended. By default it is ignored.

        Args:
            metrics: Keys ``test/…``, ``end/target_reached``, ``generation``, ``rollout/env_steps`` and
                ``time/elapsed``.
            why: The reason in words, such as "its target is reached".
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is left and close all files. Called once, also after an exception."""


MakesWriter = Callable[[Path, int | None], Writer]
"""A class of writers, or a function that makes one, called with the run's folder and `resumed_at`."""
