"""What the processes of a group know of each other: signs of life, and what each is doing."""

import json
import mmap
import time
from abc import ABC, abstractmethod
from typing import Any

from torchpolicy.base.activity import ROW, Activity, Doing

GAP = 5.0
"""Seconds without a look at the others after which silence is counted anew, because this process was stopped itself."""


class Peers(ABC):
    """The processes of a group, as one of them sees them.

    Attributes:
        names: Names of the processes for people, by rank, where there is more to say than the rank.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._heard: dict[int, tuple[int, float]] = {}  # by rank: the last beat, and when it was new
        self._listened = time.monotonic()

    @abstractmethod
    def look(self, rank: int) -> Doing | None:
        """What a process has last said that it does; None if it has said nothing yet."""

    def name(self, rank: int) -> str:
        """A process in words."""
        return f"process {rank}{self.names.get(rank, '')}"

    def hear(self, rank: int) -> tuple[Doing | None, float]:
        """What a process does, and the seconds since a new sign of life was seen by this process's clock."""
        doing, now = self.look(rank), time.monotonic()
        if now - self._listened > GAP:
            self._heard.clear()
        self._listened = now
        beat = -1 if doing is None else doing.beat
        if rank not in self._heard or self._heard[rank][0] != beat:
            self._heard[rank] = beat, now
        return doing, now - self._heard[rank][1]


class Nobody(Peers):
    """The others of a process that is alone."""

    def look(self, rank: int) -> Doing | None:
        return None


class Board(Peers):
    """Processes of this machine, which share the memory that this object has when they are forked.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self._memory = mmap.mmap(-1, 8 * ROW * count)
        rows = memoryview(self._memory).cast("q")
        self._rows = [Activity(rows[rank * ROW : (rank + 1) * ROW]) for rank in range(count)]

    def of(self, rank: int) -> Activity:
        """The numbers of one process, for it to write."""
        return self._rows[rank]

    def look(self, rank: int) -> Doing | None:
        return self._rows[rank].look()


class Post(Peers):
    """Processes anywhere, which leave word in a store.

    Args:
        store: A connection to the store that nobody else uses.
    """

    def __init__(self, store: Any) -> None:
        super().__init__()
        self._store = store

    def put(self, rank: int, doing: Doing) -> None:
        """Leave word, and wait until the store has answered."""
        self._store.set(f"doing-{rank}", json.dumps(doing))
        self._store.check([f"doing-{rank}"])

    def look(self, rank: int) -> Doing | None:
        if not self._store.check([f"doing-{rank}"]):
            return None
        return Doing(*json.loads(self._store.get(f"doing-{rank}")))
