"""What a process is doing, in whole numbers that other threads and processes can read at any time.

Writing one of them costs some 30 ns and no system call, so it is done along the hot path; whoever waits or watches
reads them, once a second.
"""

from array import array
from typing import NamedTuple

BEAT, TURN, PLACE, SLOT, TICK, EACH, EPISODES = range(7)
"""Where the numbers lie in a row: signs of life, exchanges with other processes, where the process is (of
:data:`PLACES`), the slot there (-1 for all of them), steps of the engine, episodes of each candidate, and from there on
the number of the episode in each slot."""

SLOTS = 1024
"""Slots whose episodes have room in a row."""

ROW = EPISODES + SLOTS
"""Numbers in a row."""

STEP, RESET, CLOSE = range(1, 4)

PLACES = ("", "a step of {}", "a reset of {}", "closing {}")
"""Code of an environment, the user's own or a simulator's, that a process may be in; nothing outside of it."""


class Doing(NamedTuple):
    """What a process was doing when somebody looked.

    Attributes:
        beat: Signs of life so far.
        turn: Exchanges with other processes so far.
        place: Where it was, an index of :data:`PLACES`.
        slot: The slot there, -1 for all of them.
        tick: Steps of the engine so far.
        candidate, episode: Numbers of what was played in that slot; -1 if unknown.
    """

    beat: int
    turn: int
    place: int
    slot: int
    tick: int
    candidate: int
    episode: int

    def stands_at(self, before: "Doing") -> bool:
        """Whether it is still in the same piece of an environment's code as before."""
        return bool(self.place) and self[2:5] == before[2:5]

    def words(self, environment: str) -> str:
        """Where it is; empty outside of the environment's code."""
        where = PLACES[self.place].format(environment)
        return where if self.candidate < 0 else f"{where} (candidate {self.candidate}, episode {self.episode})"


class Activity:
    """The numbers of one process.

    Args:
        row: (ROW,) int64, such as a part of a memory that several processes share. None: memory of its own.

    Attributes:
        row: The numbers, to be written in place.
    """

    def __init__(self, row: "memoryview[int] | None" = None) -> None:
        self.row: memoryview[int] = memoryview(array("q", bytes(8 * ROW))) if row is None else row
        self.row[SLOT] = -1

    def play(self, slot: int, number: int) -> None:
        """Take down which episode plays in a slot."""
        if slot < SLOTS:
            self.row[EPISODES + slot] = number

    def look(self) -> Doing:
        """The numbers as they are now."""
        row, candidate, episode = self.row, -1, -1
        slot, each = row[SLOT], row[EACH]
        if 0 <= slot < SLOTS and row[PLACE] and each:
            candidate, episode = divmod(row[EPISODES + slot], each)
        return Doing(row[BEAT], row[TURN], row[PLACE], slot, row[TICK], candidate, episode)
