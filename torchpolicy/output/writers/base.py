"""Where a run's metrics go."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

Distributions = Callable[[], Mapping[str, Tensor]]
"""Gives tensors whose numbers are worth a histogram, by name; only called by a writer that draws some."""

HELD_OUT = ("eval/mean_reward", "eval/ci_low", "eval/ci_high")
"""Keys of a held-out evaluation: its mean, and the ends of its interval."""

CLOSING = "eval/closing"
"""Key that marks the held-out evaluation of a run's last generation where none was due. It is made for the curve alone
and decides nothing; a run that goes on after all takes it back, to be the one that never ended there."""


def no_distributions() -> Mapping[str, Tensor]:
    """None."""
    return {}


class Writer(ABC):
    """Writes one generation after another.

    Args:
        run_dir: The run's folder, which exists.
        resumed_at: Environment steps that the run goes on from; what was written past them is
            taken back. None for a new run.
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
            distributions: Of returns and weights in this generation, for the time of the call.

        Raises:
            Exception: If it cannot be written, as OSError at a full disk. The run says so once, goes on, and tries
                again with the next.
        """

    def note(self, text: str) -> None:  # noqa: B027
        """Tell the user something in words. Writers without a reader leave it."""

    def picture(self, gif: bytes, env_steps: int) -> None:  # noqa: B027
        """Show an episode of the policy as it was after so many environment steps. By default not at all."""

    def end(self, metrics: dict[str, float]) -> None:  # noqa: B027
        """Write what the run came to, ``test/…`` at ``rollout/env_steps``. By default not at all."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left and let go; called once, also after an exception."""
