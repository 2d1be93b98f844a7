"""Threads that give signs of life for their process, and end it where it would wait for ever."""

import os
import sys
import threading
import time
from math import inf

from torchpolicy.base.activity import BEAT, Activity
from torchpolicy.base.peers import Post

BEATS = 1.0
"""Seconds between signs of life."""

EASY = 250
"""Processes whose words a store takes every second without being noticed; where there are more, each speaks less."""


class Heart:
    """Gives a sign of life every second, for as long as Python runs in this process.

    A process that was stopped, or whose environment holds Python's lock, gives none. The process ends if words go
    through a store that no longer answers, or if whoever started it is gone.

    Args:
        rank: Number of this process.
        activity: The process's numbers, of which it advances the beat.
        lost: Exit code of a process that lost the others.
        post: Where words are left for other hosts; None where processes share a memory.
        size: Number of processes.
        patience: Seconds without an answer of the store after which the process ends.
        orphan: Whether to end the process when whoever started it is gone.
    """

    def __init__(
        self,
        rank: int,
        activity: Activity,
        lost: int,
        *,
        post: Post | None = None,
        size: int = 1,
        patience: float = inf,
        orphan: bool = False,
    ) -> None:
        self._rank, self._activity, self._lost, self._post = rank, activity, lost, post
        self._pause = max(BEATS, size / EASY)
        self._patience, self._parent = patience, os.getppid() if orphan else None
        self._quiet = 0.0  # seconds that this process was awake since the store last answered
        self._over = threading.Event()
        activity.row[BEAT] += 1
        threading.Thread(target=self._beat, name="torchpolicy-beat", daemon=True).start()
        if post is not None:
            threading.Thread(target=self._speak, args=(post,), name="torchpolicy-word", daemon=True).start()

    def stop(self) -> None:
        """Give no more signs of life."""
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(BEATS):
            self._activity.row[BEAT] += 1
            self._quiet += BEATS
            if self._parent is not None and os.getppid() != self._parent:
                self._end("whatever started it is gone")
            if self._post is not None and self._quiet > self._patience + self._pause:
                self._end(f"the store of process 0 has not answered for {self._patience:.0f} s")

    def _speak(self, post: Post) -> None:
        while not self._over.is_set():
            try:
                post.put(self._rank, self._activity.look())
            except RuntimeError:  # the store is gone: whoever waits for another process is told so, or patience ends
                return
            self._quiet = 0.0
            time.sleep(self._pause)

    def _end(self, reason: str) -> None:
        print(f"torchpolicy: process {self._rank} ends: {reason}", file=sys.stderr, flush=True)
        os._exit(self._lost)


def exit_at_once(code: int) -> None:
    """End the process, without its threads: they may be waiting for a lost process for ever."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
