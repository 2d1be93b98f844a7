"""Waiting for other processes: the user is told for whom, and one that gives no sign of life is given up."""

import sys

from torchpolicy.base.activity import Doing
from torchpolicy.base.peers import Peers

WORTH_TELLING = 10.0
"""Seconds of waiting from which on the user is told for whom."""

QUIET = 5.0
"""Seconds without a sign of life, of which there is one a second, that are worth a word."""


class SilentProcessError(RuntimeError):
    """A process has given no sign of life for longer than anybody has patience."""


class Waiting:
    """Looks, once a second, who keeps a process waiting.

    The user is told after 10 seconds, and after each wait twice as long as those told before: long episodes are no
    reason for a line in each generation. Of a process that is silent, the user is always told.

    Args:
        rank: Number of the process that waits.
        size: Number of processes.
        peers: What is known of them.
        patience: Seconds for which one of them may be silent.
        speaks: Whether this process tells the user.
    """

    def __init__(self, rank: int, size: int, peers: Peers, patience: float, *, speaks: bool) -> None:
        self._rank, self._peers, self._patience, self._speaks = rank, peers, patience, speaks
        self._others = [other for other in range(size) if other != rank]
        self._next = {True: WORTH_TELLING, False: WORTH_TELLING}  # seconds worth telling, by whether there is silence

    def begin(self) -> None:
        """Begin to wait."""
        self._next[True] = WORTH_TELLING

    def look(self, turn: int, seconds: float) -> None:
        """Look who has not come to an exchange yet, and who is silent.

        Args:
            turn: Number of the exchange.
            seconds: How long this process has waited.

        Raises:
            SilentProcessError: If one of them has been silent for too long.
        """
        for rank in self._others:
            doing, silent = self._peers.hear(rank)
            if silent >= self._patience:  # even if it has come: it may have fallen silent in the middle of its words
                raise SilentProcessError(f"no sign of life from {self._peers.name(rank)} for {silent:.0f} s")
            quiet = silent > QUIET
            if _is_behind(doing, turn) and self._speaks and seconds >= self._next[quiet]:
                self._next[quiet] = 2 * seconds
                self._tell(rank, doing, silent, seconds)

    def _tell(self, rank: int, doing: Doing | None, silent: float, seconds: float) -> None:
        """Tell the user for whom this process waits."""
        how = f"which has given no sign of life for {silent:.0f} s" if silent > QUIET else "which is at work"
        where = "" if doing is None else doing.words("its environment")
        print(
            f"torchpolicy: process {self._rank} has waited {seconds:.0f} s for {self._peers.name(rank)}, "
            f"{how}{where and ', in '}{where}",
            file=sys.stderr,
            flush=True,
        )

    def behind(self, turn: int) -> list[int]:
        """The processes that have not come to an exchange yet, as far as is known."""
        return [rank for rank in self._others if _is_behind(self._peers.look(rank), turn)]

    def missing(self, turn: int) -> str:
        """Words that name those processes."""
        try:
            names = [self._peers.name(rank) for rank in self.behind(turn)]
        except RuntimeError:  # the store is gone with process 0
            names = []
        return f"no answer from {', '.join(names)}" if names else "lost the others"


def _is_behind(doing: Doing | None, turn: int) -> bool:
    """Whether a process that does this has not come to an exchange yet."""
    return doing is None or doing.turn < turn
