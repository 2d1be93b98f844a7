"""Letters: what every process sends to every other one, and numbers packed into them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from torchpolicy.base.letters import Letter, Letters, add_up, pack

ROOM = 100


class Wait:
    """What waits for the end of a transfer, as Gloo has it."""

    def __init__(self, post: "Post") -> None:
        self._post, self._over = post, threading.Event()

    def end(self) -> None:
        self._over.set()

    def wait(self, limit: timedelta) -> None:
        if not self._over.wait(limit.total_seconds() if limit.total_seconds() < 60 else 60):
            self._post.lose()
        if self._post.lost:
            raise RuntimeError("the pair was closed")


class Post:
    """Processes in threads of this one. As with Gloo, nothing is sent before somebody is ready for it."""

    def __init__(self, size: int) -> None:
        self.size, self.lost = size, False
        self.moved: list[int] = []  # bytes of every transfer
        self.leave_after: int | None = None  # how many letters of each are received before the others have left
        self.unready = 0  # transfers that began before somebody was ready
        self._lock, self._all = threading.Lock(), []  # type: ignore[var-annotated]
        self._begun: dict[tuple[int, ...], int] = {}
        self._ready: dict[tuple[int, ...], list[tuple[Tensor, Wait]]] = {}
        self._pending: dict[tuple[int, ...], list[tuple[Tensor, Wait]]] = {}

    def _left(self, way: tuple[int, ...]) -> bool:
        return self.leave_after is not None and self._begun.get(way, 0) > self.leave_after

    def lose(self) -> None:
        self.lost = True
        for each in self._all:
            each.end()

    def letters(self, rank: int) -> Letters:
        def send(content: Tensor, to: int) -> Wait:
            return self._meet((rank, to), content.clone(), self._pending)

        def receive(box: Tensor, of: int, tag: int = 0) -> Wait:
            return self._meet((of, rank) if tag == 0 else (of, rank, tag), box, self._ready)

        return Letters(rank, self.size, send, receive, room=ROOM)

    def _meet(self, way: tuple[int, ...], content: Tensor, mine: dict[Any, Any]) -> Wait:
        with self._lock:
            if mine is self._ready:
                self._begun[way] = self._begun.get(way, 0) + 1
                if self._left(way):
                    raise RuntimeError("the pair was closed")
            work = Wait(self)
            self._all.append(work)
            mine.setdefault(way, []).append((content, work))
            self.unready += mine is self._pending and not self._ready.get(way)
            while self._ready.get(way) and self._pending.get(way):
                (box, there), (sent, here) = self._ready[way].pop(0), self._pending[way].pop(0)
                assert len(sent) <= len(box)
                box[: len(sent)] = sent
                self.moved.append(len(sent))
                there.end()
                here.end()
            return work


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def exchanged(letters: list[Letters], contents: list[bytes], pool: ThreadPoolExecutor) -> None:
    """Let all write and read, and see that each gets what each wrote, as far as there is room for it."""

    def one(own: Letters, content: bytes) -> list[Letter] | None:
        own.write(content)
        return own.read(10.0)

    for found in pool.map(one, letters, contents):
        assert found == [Letter(len(content), content[:ROOM]) for content in contents]


def test_everybody_gets_what_everybody_wrote_in_the_order_of_ranks(threads: ThreadPoolExecutor) -> None:
    post = Post(3)
    letters = [post.letters(rank) for rank in range(3)]
    for turn in range(4):
        exchanged(letters, [b"", bytes([turn]) * turn, b"abc"], threads)
    for each in letters:
        each.close()
        assert not each._thread.is_alive()


def test_of_a_long_content_the_beginning_comes(threads: ThreadPoolExecutor) -> None:
    post = Post(2)
    letters = [post.letters(rank) for rank in range(2)]
    exchanged(letters, [b"x" * (ROOM + 1), b"y" * ROOM], threads)
    exchanged(letters, [b"x", b"y" * 3 * ROOM], threads)
    letters[0].close()


def test_all_are_ready_before_the_next_letter_is_written(threads: ThreadPoolExecutor) -> None:
    post = Post(2)
    letters = [post.letters(rank) for rank in range(2)]
    time.sleep(0.05)
    for _ in range(3):
        exchanged(letters, [b"one", b"two"], threads)
    assert post.unready == 0
    letters[0].close()


def test_who_waits_is_asked_again_and_learns_of_a_loss() -> None:
    post = Post(2)
    letters = post.letters(0)
    letters.write(b"alone")
    assert letters.read(0.01) is None
    post.lose()
    with pytest.raises(RuntimeError, match="closed"):
        letters.read(10.0)


def test_the_last_letters_are_read_although_others_have_left(threads: ThreadPoolExecutor) -> None:
    post = Post(2)
    letters = [post.letters(rank) for rank in range(2)]
    time.sleep(0.05)
    post.leave_after = 1
    exchanged(letters, [b"one", b"two"], threads)
    letters[0].write(b"three")
    with pytest.raises(RuntimeError, match="closed"):
        letters[0].read(10.0)


def test_after_an_interrupted_exchange_there_is_no_other_one() -> None:
    letters = Post(2).letters(0)
    letters.write(b"one")
    assert letters.read(0.01) is None
    with pytest.raises(RuntimeError, match="interrupted"):
        letters.write(b"two")


NUMBERS = st.lists(st.floats(width=64) | st.just(0.0), min_size=1, max_size=40)


@settings(max_examples=20)
@given(NUMBERS, st.integers(1, 4), st.sampled_from([1, 50]))
def test_numbers_that_are_zero_in_all_but_one_keep_their_bits(numbers: list[float], size: int, spacing: int) -> None:
    whole = np.zeros(len(numbers) * spacing)
    whole[::spacing] = np.array(numbers) + 0.0  # no negative zero, which a sum does not keep
    parts = [np.where(np.arange(len(whole)) // spacing % size == rank, whole, 0.0) for rank in range(size)]
    assert add_up([pack(part) for part in parts], len(whole)).tobytes() == whole.tobytes()


def test_zeros_take_a_bit_each_at_most() -> None:
    values = np.zeros(8000)
    values[7] = torch.pi
    assert len(pack(values)) == 1 + 4 + 8
    values[1000:2000] = torch.pi
    assert len(pack(values)) == 1 + 1000 + 1001 * 8
