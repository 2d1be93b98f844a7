"""One run in a process of its own: what it trains, and what it tells the process that started it."""

import io
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch
from tqdm import tqdm

from torchpolicy.api import train
from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import LOST, LostProcessError
from torchpolicy.base.signals import Terminated
from torchpolicy.base.user_code import in_a_line
from torchpolicy.output.writers.console import ConsoleWriter

LONGEST_LINE = 1000
"""Characters of a message at most, so that several processes of a run can write to one pipe without a lock: what has
fewer than 4096 bytes arrives whole."""

SECONDS_BETWEEN_NEWS = 0.2
"""Seconds between two messages about how far the run is."""


def work(packed: bytes, tell: Connection, lifeline: Connection) -> None:
    """Train in this process, which was made for that.

    It tells ``("far", share, text)`` along the way, ``("said", line)`` for what would have gone to the terminal, and at
    the end ``("done",)`` or ``("failed", reason)``.

    Args:
        packed: Arguments of :func:`torchpolicy.train`, as :func:`pack` makes them.
        tell: Takes the messages.
        lifeline: Closes when the process that started this one is gone, however it ended.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        os.setpgid(0, 0)  # where the terminal's signals do not come
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore of the system, which outlives a killed process
    sys.stdout = sys.stderr = Telling(tell)
    ConsoleWriter.listener = _Progress(tell)
    try:
        train(**pickle.loads(packed))
        tell.send(("done",))
    except Terminated:  # a checkpoint was written
        raise
    except (ValueError, RunError, OSError, LostProcessError) as error:
        tell.send(("failed", " ".join(str(error).split())[:LONGEST_LINE]))
    except BaseException as error:
        sys.stderr.write(traceback.format_exc())
        tell.send(("failed", in_a_line(error)[:LONGEST_LINE]))


def pack(arguments: Mapping[str, Any]) -> bytes:
    """Arguments of :func:`torchpolicy.train` as bytes for another process on this machine.

    Raises:
        ValueError: If one of them cannot be taken there. The message names it.
    """
    for name, value in arguments.items():
        try:
            packed = pickle.dumps(value)
        except Exception as error:
            raise ValueError(f"{name}: other processes cannot be given {_shown(value)}: {_remedy(name)}") from error
        if b"__main__" in packed:
            raise ValueError(
                f"{name}: other processes do not import the script or notebook that is running, in which "
                f"{_shown(value)} is defined: {_remedy(name)}"
            )
    return pickle.dumps(dict(arguments))


def _shown(value: object) -> str:
    return str(getattr(value, "__qualname__", type(value).__name__))


def _remedy(name: str) -> str:
    return f"define it at the top of a module, such as mine.py, and import it from there, or give {name}='mine:name'"


class Telling(io.TextIOBase):
    """A stream whose lines are told as ``("said", line)``."""

    def __init__(self, tell: Connection) -> None:
        self._tell, self._begun = tell, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                self._tell.send(("said", line[:LONGEST_LINE]))
        return len(text)

    def writable(self) -> bool:
        return True


class _Progress:
    """Tells how far the run is, now and then."""

    def __init__(self, tell: Connection) -> None:
        self._tell, self._next = tell, 0.0

    def __call__(self, share: float, text: str) -> None:
        if time.monotonic() >= self._next or share >= 1:
            self._tell.send(("far", share, text[:LONGEST_LINE]))
            self._next = time.monotonic() + SECONDS_BETWEEN_NEWS


def _die_with(lifeline: Connection) -> None:
    """End this process when the one that started it is gone. The run can go on from its last checkpoint."""
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(LOST)
