"""Which process plays which episodes: an equal share at first, then whoever is ready takes the next."""

import threading
import time
from collections.abc import Callable, Iterator
from math import ceil

SLOW = 0.002
"""Seconds of a round trip to the counter from which on the next range is asked for while the last one is played. A
thread for it costs about 0.0001 s."""

MEMORY = 0.7
"""Share that earlier measurements keep."""


class Claims:
    """Divides the numbers below a total among processes. Each number goes to one of them.

    The first numbers are shared out equally, as many as all processes play at once, without a word between them. The
    others are claimed from a counter, in ranges that get shorter as the work runs out, so that all processes finish at
    about the same time. If the counter is far away, the next range is claimed while the last one is played, and ranges
    are long enough for that.

    Args:
        rank: Number of this process.
        size: Number of processes.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size
        self._trip = 0.0  # seconds that an answer takes
        self._rate = 0.0  # numbers that this process uses up in a second

    def ranges(self, total: int, at_once: int, add: Callable[[int], int]) -> Iterator[range]:
        """Ranges for this process.

        Args:
            total: How many numbers there are.
            at_once: Numbers that a process works on at once.
            add: Adds to the counter, which begins at 0 and is the same for all processes, and returns its new value.
        """
        rank, size = self._rank, self._size
        if total <= at_once * size:
            yield range(total * rank // size, total * (rank + 1) // size)
            return
        end = shared = at_once * size
        claim = self._begin(end, total, add)
        if at_once:
            yield range(at_once * rank, at_once * (rank + 1))
        while True:
            chunk, answer = claim
            end = shared + answer()
            if end - chunk >= total:
                return
            claim = self._begin(end, total, add)
            begin = time.perf_counter()
            yield range(end - chunk, min(end, total))
            used = chunk / max(1e-9, time.perf_counter() - begin)
            self._rate = _smoothed(self._rate, used)

    def _begin(self, end: int, total: int, add: Callable[[int], int]) -> tuple[int, Callable[[], int]]:
        """Claim a range: its length, and what returns the counter's value after it."""
        rest, slow = max(0, total - end), self._trip > SLOW
        chunk = max(1, rest // (4 * self._size))
        if slow:
            chunk = max(chunk, min(rest // self._size, ceil(self._rate * self._trip)))
        ask = _Ask(add, chunk, self)
        if slow:
            ask.start()
        return chunk, ask.answer

    def took(self, seconds: float) -> None:
        """Take in how long an answer took."""
        self._trip = _smoothed(self._trip, seconds)


class _Ask(threading.Thread):
    """One question to the counter, asked in a thread if it is started, or else when the answer is wanted."""

    def __init__(self, add: Callable[[int], int], chunk: int, claims: Claims) -> None:
        super().__init__(daemon=True)
        self._add, self._chunk, self._claims = add, chunk, claims
        self._value = 0
        self._error: BaseException | None = None

    def run(self) -> None:
        begin = time.perf_counter()
        try:
            self._value = self._add(self._chunk)
        except BaseException as error:
            self._error = error
        self._claims.took(time.perf_counter() - begin)

    def answer(self) -> int:
        """The counter's new value."""
        if self.ident is None:
            self.run()
        else:
            self.join()
        if self._error is not None:
            raise self._error
        return self._value


def _smoothed(before: float, now: float) -> float:
    return MEMORY * before + (1 - MEMORY) * now if before else now
