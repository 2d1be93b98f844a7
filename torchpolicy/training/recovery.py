"""The last whole state of a run: what an interrupted run goes back to, and what its checkpoints hold."""

import time
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

from torchpolicy.base.checkpoints import save_checkpoint

CHECKPOINT_SHARE = 0.01
"""Share of a run's time that goes into checkpoints at most."""


class Recovery:
    """Keeps the state after the last whole generation, and writes it as a checkpoint when it is time to.

    A generation may be interrupted anywhere, and an algorithm or callback of the user's own may change its tensors in
    place. So one copy of the state is taken after every generation, and it serves both going back and checkpoints.
    With a million weights the copy takes 0.2 to 0.6 % of a generation.

    Args:
        folder: Where checkpoints are written. None: this process writes none.
        about: What every checkpoint says about the run, beside the state.
        seconds: Seconds between checkpoints; longer where they would take more than 1 % of the time. 0: one after
            every generation, however long that takes.

    Attributes:
        state: The last whole state, a copy, as the trainer sets it; empty before the first.
        error: Why the last checkpoint could not be written; None if it could.
    """

    def __init__(self, folder: Path | None, about: Mapping[str, Any], seconds: float) -> None:
        self.state: dict[str, Any] = {}
        self.error: OSError | None = None
        self._folder, self._about, self._seconds = folder, about, seconds
        self._saved = -1  # generation of the last checkpoint
        self._due = -inf  # when to write the next one, on the monotonic clock

    def save(self, then: Callable[[int], None], *, now: bool) -> OSError | None:
        """Write the state as a checkpoint if it is time to, and if it is not written yet.

        Args:
            then: Called with the generation of the checkpoint after it was written.
            now: Write it even if the last checkpoint is recent.

        Returns:
            Why it could not be written; None if it was, or did not have to be.
        """
        begin = time.monotonic()
        if self._folder is None or not (now or begin >= self._due) or self.state["generation"] == self._saved:
            return None
        try:
            save_checkpoint(self._folder, self.state["generation"], {**self._about, **self.state})
        except OSError as error:
            self.error = error
        else:
            self._saved, self.error = self.state["generation"], None
            then(self._saved)
        end = time.monotonic()
        pause = self._seconds
        self._due = end + max(pause, (end - begin) / CHECKPOINT_SHARE) if pause else end
        return self.error
