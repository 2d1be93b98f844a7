"""Worker processes that give no sign of life: told to the user, and given up after a while."""

import sys
from collections.abc import Iterable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from torchpolicy.base.activity import Doing
from torchpolicy.base.peers import Board

SILENCE = 10.0
"""Seconds without a sign of life after which the user is told, and again after each time twice as long."""

LONG = 60.0
"""The same for a process that computes in an environment which holds Python's lock."""


STARTING = 90.0
"""Seconds that a process may take until its first sign of life, the time to connect with the others included."""


class Patrol:
    """Looks at worker processes from outside, once a second.

    A process that was stopped (SIGSTOP) cannot speak for itself, nor can one whose environment computes and holds
    Python's lock. The first counts as lost after some patience. The second is at work, and is stopped only if there is
    a time limit for steps.

    Args:
        board: What the processes are doing.
        processes: The processes, in the order of ranks.
        environment: Name of the environment.
        patience: Seconds for which a process may be silent.
        limit: Seconds of one step; None for no limit.
    """

    def __init__(
        self, board: Board, processes: Sequence[BaseProcess], environment: str, patience: float, limit: float | None
    ) -> None:
        self._board, self._processes = board, processes
        self._environment, self._patience, self._limit = environment, patience, limit
        self._told: dict[int, float] = {}  # seconds of silence, by rank

    def look(self, running: Iterable[BaseProcess], *, given_up: bool = False) -> str | None:
        """Look at the processes that are running; how one was lost, if one was: it is killed.

        Args:
            running: The processes that have not ended.
            given_up: Whether another process has lost patience with one of them. Clocks of two processes differ by the
                seconds between looks, so whoever has been silent for half of that time is the one.
        """
        for process in running:
            rank = self._processes.index(process)
            doing, silent = self._board.hear(rank)
            if doing is None or silent < (min(SILENCE, self._patience / 2) if doing.beat else STARTING):
                self._told.pop(rank, None)
                continue
            stopped = _is_stopped(process.pid)
            computes = bool(doing.place) and not stopped
            where = self._where(doing, stopped=stopped)
            patience = self._patience / 2 if given_up else self._patience
            if silent >= (patience if not computes else self._limit or silent + 1):
                process.kill()
                return f"process {rank} was lost (no sign of life for {silent:.0f} s{where})"
            told = self._told.get(rank)
            if silent >= (2 * told if told else LONG if computes else SILENCE):
                self._told[rank] = silent
                text = f"process {rank} (pid {process.pid}) has given no sign of life for {silent:.0f} s{where}"
                print(f"torchpolicy: {text}", file=sys.stderr, flush=True)
        return None

    def _where(self, doing: Doing, *, stopped: bool) -> str:
        """Why a process is silent, and where it is, as far as is known."""
        words = doing.words(self._environment)
        return f"{': it is stopped' if stopped else ''}{words and ', in '}{words}"


def _is_stopped(pid: int | None) -> bool:
    """Whether a process was stopped, as by SIGSTOP; False where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False
