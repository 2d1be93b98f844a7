"""A progress bar in a terminal, or plain lines elsewhere, as in a notebook; both go to standard error."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from tqdm import tqdm

from torchpolicy.output.writers.base import Distributions, Writer, no_distributions

BAR = "{percentage:3.0f} % {bar:10} {elapsed}<{remaining} | {desc}"
SECONDS_BETWEEN_LINES = 10.0


class ConsoleWriter(Writer):
    """Shows the generation, environment steps, steps per second and a score.

    The score is that of a search's center, or the mean return of a learner's policy.

    Attributes:
        listener: Hears about every generation of all runs in this process, instead of the terminal: the share that is
            done, 0 to 1, and the line. None where there is no such listener.
    """

    listener: ClassVar[Callable[[float, str], None] | None] = None

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        self._live = type(self).listener is None and has_width()
        self._bar = tqdm(total=1.0, bar_format=BAR, disable=not self._live, leave=False)
        self._last_line = -SECONDS_BETWEEN_LINES
        self._score = self._held_out = ""

    def write(
        self, metrics: dict[str, float], progress: float, distributions: Distributions = no_distributions
    ) -> None:
        text, listener = self._describe(metrics), type(self).listener
        if listener is not None:
            listener(progress, text)
        elif self._live:
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(progress - self._bar.n)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES or progress >= 1:
            self._last_line = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        self._bar.close()

    def _describe(self, metrics: dict[str, float]) -> str:
        if "eval/mean_reward" in metrics:
            self._held_out = f" | held-out {metrics['eval/mean_reward']:.4g}"
        if "search/center_score" in metrics:
            self._score = f" | center {metrics['search/center_score']:.4g}"
        elif "learn/stalled" in metrics and "rollout/ep_rew_mean" in metrics:
            self._score = f" | return {metrics['rollout/ep_rew_mean']:.4g}"
        return (
            f"generation {metrics['generation']:.0f}{self._score}{self._held_out} | "
            f"{in_short(metrics['rollout/env_steps'])} steps | {in_short(metrics['time/fps'])} steps/s"
        )


def in_short(count: float) -> str:
    """A count in at most six characters, such as 950, 9,500, 95.0k or 1.95M, so that a line fits in a terminal."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= max(factor, 10_000):
            digits = 2 - min(2, len(f"{count / factor:.0f}") - 1)
            return f"{count / factor:.{digits}f}{letter}"
    return f"{count:,.0f}"


def has_width() -> bool:
    """Whether standard error is a terminal in which a line can be overwritten."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (AttributeError, OSError, ValueError):  # a file, a pipe, a notebook, or no standard error at all
        return False
    return columns > 0 and os.environ.get("TERM") != "dumb"
