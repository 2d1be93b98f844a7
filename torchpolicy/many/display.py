"""One display for several runs at a time: a line for each of them on a terminal, and plain lines elsewhere."""

import re
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable

from tqdm import tqdm

from torchpolicy.output.writers.console import BAR, SECONDS_BETWEEN_LINES, has_width


class Display(ABC):
    """Shows how several runs go on, on standard error.

    A message that is the same in several runs but for its numbers, such as how far the budget goes, is shown once. What
    begins with a generation, such as why a search stands still, is shown for each run.

    Args:
        noun: What a run is called, in front of its number.
        count: Number of all runs.
        done: Number of runs that were finished before.
        known: Messages of the runs that are not to be shown.

    Attributes:
        count: Number of all runs.
        done: Number of those that are finished.
    """

    def __init__(self, noun: str, count: int, done: int, known: Iterable[str]) -> None:
        self.count, self.done = count, done
        self._noun, self._known = noun, set(known)
        self._shares: dict[int, float] = {}
        self._bars: dict[int, tqdm[None]] | None = {} if has_width() else None
        self._columns = max(20, shutil.get_terminal_size().columns - len("^C "))  # or Ctrl-C would begin a new line
        self._last_line = time.monotonic()

    @abstractmethod
    def result(self, key: int) -> str:
        """The result of a run in a few words."""

    def begun(self, key: int) -> None:
        """A run was started."""
        self._shares[key] = 0.0
        if self._bars is not None:
            taken = {bar.pos for bar in self._bars.values()}
            place = next(place for place in range(len(taken) + 1) if -place not in taken)
            bar = tqdm(total=1.0, bar_format=BAR, leave=False, position=place, ncols=self._columns)
            bar.set_description_str(f"{self._noun} {key} begins")
            self._bars[key] = bar

    def far(self, key: int, share: float, text: str) -> None:
        """A share of a run is done, 0 to 1, which the text describes."""
        self._shares[key] = share
        if self._bars is not None:
            bar = self._bars[key]
            bar.set_description_str(f"{self._noun} {key} | {text}", refresh=False)
            bar.update(share - bar.n)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            running = ", ".join(f"{each} ({done:.0%})" for each, done in self._shares.items())
            self._print(f"{self.done} of {self.count} are finished, running: {self._noun} {running}")

    def said(self, key: int, line: str) -> None:
        """A run has something to say."""
        kind = line if line.startswith("generation ") else re.sub(r"[\d.,]+", "#", line)
        if not {line, kind} & self._known:
            self._known.add(kind)
            self._print(f"{self._noun} {key}: {line}")

    def ended(self, key: int, failure: str | None) -> None:
        """A run has ended; `failure` is the reason if it failed."""
        del self._shares[key]
        self._remove(key)
        self.done += failure is None
        words = self.result(key) if failure is None else f"failed: {failure}"
        self._print(f"{self._noun} {key}: {words} ({self.done} of {self.count} are finished)")

    def close(self) -> None:
        """Remove what is shown only for the time being."""
        for key in list(self._bars or ()):
            self._remove(key)
        self._bars = None

    def _remove(self, key: int) -> None:
        """Remove the line of a run, if there is one."""
        if self._bars is not None:
            self._bars.pop(key).close()
            sys.stderr.write("\r")  # the cursor stays where the line ended

    @staticmethod
    def _print(line: str) -> None:
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()
