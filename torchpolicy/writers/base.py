"""Where a run's metrics go."""

from abc import ABC, abstractmethod
from pathlib import Path


class Writer(ABC):
    """Writes one generation after another.

    Args:
        run_dir: The run's folder, which exists.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    @abstractmethod
    def write(self, metrics: dict[str, float], progress: float) -> None:
        """Write one generation.

        Args:
            metrics: Scalars by key; ``rollout/env_steps`` is their place on the x-axis.
            progress: Share of the budget that is used up, 0 to 1.
        """

    def note(self, text: str) -> None:  # noqa: B027
        """Tell the user something in words. Writers without a reader leave it."""

    @abstractmethod
    def close(self) -> None:
        """Write what is left and let go; called once, also after an exception."""
