"""Runs side by side, each in a process of its own: started, listened to, and stopped."""

import multiprocessing
import signal
import sys
import time
import types
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from torchpolicy.base.signals import stoppable
from torchpolicy.many.child import work

GRACE_SECONDS = 30.0
"""Seconds that processes get to write a checkpoint after a signal."""


class Audience(Protocol):
    """Who hears how runs go on; `key` is a run's number."""

    def begun(self, key: int) -> None:
        """A run was started."""

    def far(self, key: int, share: float, text: str) -> None:
        """A share of a run is done, 0 to 1, which the text describes."""

    def said(self, key: int, line: str) -> None:
        """A run has something to say."""

    def ended(self, key: int, failure: str | None) -> None:
        """A run has ended; `failure` is the reason if it failed."""


@dataclass
class Child:
    """A process with a run.

    Attributes:
        key: The run's number.
        process: The process.
        news: Where its messages come from.
        done: Whether it has said that its work is done.
        failure: Why the run failed, as far as it is known.
    """

    key: int
    process: SpawnProcess
    news: Connection
    done: bool = False
    failure: str | None = None


def side_by_side(runs: Mapping[int, bytes], jobs: int, audience: Audience) -> dict[int, str]:
    """Train runs, some at a time, in processes that share nothing. One that fails does not end the others.

    Args:
        runs: The packed arguments of :func:`torchpolicy.train` of each run, by a number for it.
        jobs: Number of runs at a time.
        audience: Hears how they go on.

    Returns:
        The runs that failed, each with the reason.

    Raises:
        Stopped: If a signal arrived, after every run has written a checkpoint.
    """
    waiting, running, failures = list(runs.items()), list[Child](), dict[int, str]()
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack, stoppable():
        theirs, ours = context.Pipe(duplex=False)  # `ours` closes when this process is gone, however it ends
        stack.callback(theirs.close)
        stack.callback(ours.close)
        stack.callback(_end, running)
        while waiting or running:
            while waiting and len(running) < jobs:
                key, packed = waiting.pop(0)
                news, tell = context.Pipe(duplex=False)
                process = context.Process(target=work, args=(packed, tell, theirs), name=f"torchpolicy-run-{key}")
                running.append(Child(key, process, news))
                with _alone():
                    process.start()
                tell.close()
                audience.begun(key)
            ready = wait([child.news for child in running])
            for child in [child for child in running if child.news in ready]:
                if not _hear(child, audience):
                    running.remove(child)
                    child.process.join()
                    child.news.close()
                    if not child.done:
                        failures[child.key] = child.failure or _lost(child.process.exitcode)
                    audience.ended(child.key, failures.get(child.key))
    return failures


def _hear(child: Child, audience: Audience) -> bool:
    """Take one message of a process; whether there will be more."""
    try:
        kind, *content = child.news.recv()
    except (EOFError, OSError):
        return False
    if kind == "far":
        audience.far(child.key, *content)
    elif kind == "said":
        audience.said(child.key, *content)
    elif kind == "failed":
        (child.failure,) = content
    else:
        child.done = True
    return True


def _lost(code: int | None) -> str:
    """Words for a process that ended without a reason."""
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended before its work was done (exit code {code})"


@contextmanager
def _alone() -> Iterator[None]:
    """Start a process in the block that gets no Ctrl-C while it begins, and does not import the user's script.

    A script would have to hide what it does from such an import, and few do.
    """
    main, blocks = sys.modules["__main__"], sys.platform != "win32"
    if blocks:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # which a new process inherits
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if blocks:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _end(running: list[Child]) -> None:
    """Let the processes that are left write a checkpoint, and end them."""
    started = [child.process for child in running if child.process.pid is not None]
    for process in started:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    while (alive := [child for child in running if child.process.is_alive()]) and time.monotonic() < deadline:
        for child in alive:  # what they still say would otherwise fill the pipe, and make them wait
            while child.news.poll():
                try:
                    child.news.recv()
                except (EOFError, OSError):
                    break
        time.sleep(0.02)
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()
