"""Signals that stop a run: held back, or raised where the trainer expects them."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run after a checkpoint was written."""


class Stopped(BaseException):
    """A signal asks the run to stop. This is not an error, and only the trainer should catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Terminated(SystemExit):
    """The end of this process after a signal and a checkpoint: our own, where any other SystemExit is a mistake."""


@contextmanager
def holding(signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Let signals wait until the block has ended, for what a handler raises within a fork gets lost.

    They are not blocked, because a thread of torch's would then receive them, and Python runs handlers all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


@contextmanager
def stoppable(signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Let signals raise :class:`Stopped` inside the block; a second SIGINT ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            os._exit(128 + number)
        received.append(number)
        if len(received) == 1:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
