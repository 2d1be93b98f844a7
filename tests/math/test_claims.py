"""Who plays what: every number goes to one process; nothing is asked where all begin at once, or it is asked ahead."""

import threading
import time
from collections.abc import Callable

import pytest

from torchpolicy.base.claims import SLOW, Claims


class Counter:
    """The counter that processes share, and how far away it is."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.value = self.asked = 0
        self.seconds, self._lock = seconds, threading.Lock()

    def add(self, number: int) -> int:
        time.sleep(self.seconds)
        with self._lock:
            self.asked += 1
            self.value += number
            return self.value


def play(size: int, total: int, at_once: int, counter: Counter, work: Callable[[range], None]) -> list[list[range]]:
    """The ranges of each process; all of them work at the same time."""
    taken: list[list[range]] = [[] for _ in range(size)]

    def one(rank: int) -> None:
        claims = Claims(rank, size)
        claims.took(counter.seconds)
        for numbers in claims.ranges(total, at_once, counter.add):
            taken[rank].append(numbers)
            work(numbers)

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


@pytest.mark.parametrize("seconds", [0.0, 2 * SLOW])
@pytest.mark.parametrize("at_once", [0, 1, 5, 32])
@pytest.mark.parametrize("total", [1, 7, 64, 65, 300])
@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_every_number_goes_to_one_process(size: int, total: int, at_once: int, seconds: float) -> None:
    taken = play(size, total, at_once, Counter(seconds), lambda numbers: None)
    assert sorted(number for ranges in taken for numbers in ranges for number in numbers) == list(range(total))


def test_nothing_is_asked_where_all_can_begin_at_once() -> None:
    counter = Counter()
    taken = play(3, 65, 22, counter, lambda numbers: None)
    assert counter.asked == 0
    assert [len(ranges[0]) for ranges in taken] == [21, 22, 22]


def test_the_way_to_the_counter_is_hidden_behind_the_work() -> None:
    def work(numbers: range) -> None:
        time.sleep(0.002 * len(numbers))

    begin = time.perf_counter()
    counter = Counter(0.1)
    play(2, 500, 32, counter, work)
    alone = 0.002 * 500 / 2
    assert counter.asked >= 4
    assert time.perf_counter() - begin < alone + 0.1 + 0.15  # one way there and back remains, for the last answer
