"""Watching a process from a thread: is it still in the same step of an environment as a minute ago?"""

import os
import signal
import sys
import threading
import time
from types import TracebackType
from typing import Self

from torchpolicy.base.activity import Activity, Doing

LONG = 60.0
"""Seconds of one step, reset or close of an environment after which the user is told, and again after twice as many."""

EVERY = 1.0
"""Seconds between looks."""

GRACE = 5.0
"""Seconds that the process gets to leave the environment's code and to save a checkpoint before it is ended."""


class Vigil:
    """Tells the user of a step of an environment that does not end, and stops the process after a time limit.

    It is a thread of Python. An environment that holds Python's lock keeps it from looking; only another process can
    notice that.

    Args:
        activity: What the process is doing.
        environment: Name of the environment.
        who: Words before every line, such as "process 1: ".
        limit: Seconds of one step, reset or close after which the process is stopped: a SIGTERM is raised in its main
            thread, and if that does not help it is ended. None: it is never stopped.
        code: Exit code of a process that has to be ended.

    Attributes:
        expired: Which step reached the limit, in words; empty if none did.
    """

    def __init__(self, activity: Activity, environment: str, who: str, limit: float | None, code: int) -> None:
        self.expired = ""
        self._activity, self._environment, self._who, self._limit, self._code = activity, environment, who, limit, code
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="torchpolicy-vigil", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()

    def _watch(self) -> None:
        before, since, told = self._activity.look(), time.monotonic(), LONG
        while not self._over.wait(min(EVERY, (self._limit or EVERY) / 2)):
            doing, now = self._activity.look(), time.monotonic()
            if not doing.stands_at(before):
                before, since, told = doing, now, LONG
            elif self._limit is not None and now - since >= self._limit:
                self._stop(doing, now - since)
                return
            elif now - since >= told:
                self._tell(f"{doing.words(self._environment)} has taken {now - since:.0f} s so far")
                told *= 2

    def _stop(self, doing: Doing, seconds: float) -> None:
        self.expired = (
            f"{doing.words(self._environment)} did not end within {seconds:.0f} s (step_timeout={self._limit:g})"
        )
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        if not self._over.wait(GRACE):
            self._tell(f"{self.expired}; the process is ended, because the environment does not return")
            os._exit(self._code)

    def _tell(self, text: str) -> None:
        print(f"torchpolicy: {self._who}{text}", file=sys.stderr, flush=True)
