"""Letters that every process sends to every other one, each in one way of the link between them."""

import atexit
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.types import Array

FOR_EVER = timedelta(days=30)
"""Time that an exchange may take, for as long as all processes give signs of life."""

AT_ONCE = timedelta(milliseconds=1)
"""Time that nothing arrives in."""

HEAD = 8
"""Bytes at the beginning of a letter that say how long the whole content is."""

ROOM, MOST = 2**20, 2**24
"""Bytes that a process is ready to receive from each other one, and from all of them, at most."""


@dataclass(frozen=True)
class Letter:
    """What one process has to say.

    Attributes:
        length: Bytes of the whole content.
        beginning: As much of it as there is room for in a letter.
    """

    length: int
    beginning: bytes


class Letters:
    """Sends the beginning of a content to every other process, and receives theirs.

    Gloo sends nothing before the receiver has said that it is ready, so that its own exchanges take two or three ways
    of the link. Here a thread gets ready for the next letters as soon as it has the last ones: whatever a process has
    to say later is on its way at once.

    Args:
        rank: Number of this process.
        size: Number of processes.
        send: Begins to send a tensor (N,) uint8 to a process, and returns what waits for its end.
        receive: Gets ready to receive at most N bytes from a process into a tensor (N,) uint8, and returns what waits
            for them. With tag=1 these are no letters.

    Attributes:
        room: Bytes of a content that a letter has room for, the same in all processes.
    """

    def __init__(
        self, rank: int, size: int, send: Callable[[Tensor, int], Any], receive: Callable[..., Any], room: int = ROOM
    ) -> None:
        self.room = min(room, MOST // size)
        self._rank, self._send, self._receive = rank, send, receive
        self._others = [other for other in range(size) if other != rank]
        self._written: SimpleQueue[Tensor | None] = SimpleQueue()
        self._read: SimpleQueue[list[Letter] | BaseException] = SimpleQueue()
        self._sent: list[Any] = []
        self._unread = False  # whether a letter was written, and the others' were not read
        self._thread = Thread(target=self._work, name="torchpolicy-letters", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that waits in Gloo when Python ends would end the process by a signal

    def write(self, content: bytes) -> None:
        """Send the beginning of a content to all others. All processes do this equally often.

        Raises:
            RuntimeError: If the last letters were never read, because reading them was interrupted.
        """
        if self._unread:
            raise RuntimeError("an exchange with the other processes was interrupted")
        self._unread = True
        letter = torch.frombuffer(
            bytearray(len(content).to_bytes(HEAD, "little") + content[: self.room]), dtype=torch.uint8
        )
        self._sent = [self._send(letter, other) for other in self._others]
        self._written.put(letter)

    def read(self, within: float) -> list[Letter] | None:
        """The letters of all processes, in the order of ranks, that belong to the last one written.

        Args:
            within: Seconds to wait for them. Signals are attended to in the meantime.

        Returns:
            The letters; None if they have not come yet.

        Raises:
            RuntimeError: If another process is lost.
        """
        try:
            found = self._read.get(timeout=within)
        except Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        self._unread = False
        return found

    def close(self) -> None:
        """Wait for no more letters."""
        atexit.unregister(self.close)
        self._written.put(None)
        for other in self._others if self._thread.is_alive() else []:
            with suppress(RuntimeError):  # after a wait that was in vain, Gloo ends what else is awaited from there
                self._receive(_room(1), other, tag=1).wait(AT_ONCE)
        self._thread.join(5.0)

    def _work(self) -> None:
        """Receive letters until something ends it."""
        letters: list[Letter] = []
        try:
            while True:
                boxes = {other: _room(HEAD + self.room) for other in self._others}
                try:
                    awaited = {other: self._receive(box, other) for other, box in boxes.items()}
                finally:  # others may have left already, because these letters were the last
                    if letters:
                        self._read.put(letters)
                for other in boxes:
                    awaited[other].wait(FOR_EVER)
                own = self._written.get()
                if own is None:
                    return
                for sent in self._sent:
                    sent.wait(FOR_EVER)
                boxes[self._rank] = own
                letters = [_letter(box, self.room) for _, box in sorted(boxes.items())]
        except BaseException as error:
            self._read.put(error)


def _room(size: int) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device="cpu")


def _letter(box: Tensor, room: int) -> Letter:
    """What is in a box, which may be larger than the letter."""
    length = int.from_bytes(box[:HEAD].numpy().tobytes(), "little")
    return Letter(length, box[HEAD : HEAD + min(length, room)].numpy().tobytes())


def is_over(within: float, work: Any) -> bool | None:
    """True if one of Gloo's own exchanges is over, which is waited for so many seconds; None if it is not.

    Raises:
        RuntimeError: If it has failed.
    """
    try:
        work.wait(timedelta(seconds=within))
    except RuntimeError:
        if not work.is_completed():
            return None
        work.wait(timedelta(seconds=within))  # which raises again if the exchange has failed
    return True


def pack(values: Array) -> bytes:
    """Numbers (N,) float64 in as few bytes as are needed where many of them are zero.

    The first byte says how the places of the others are told: 0 by a bit for each of the N, 1 by four bytes for each of
    the others. These follow in their order.
    """
    places = np.flatnonzero(values.view(np.int64))  # by their bits, so that no number is taken for zero
    if 4 * len(places) >= (len(values) + 7) // 8:
        mask = np.zeros(len(values), bool)
        mask[places] = True
        return b"\0" + np.packbits(mask).tobytes() + values[places].tobytes()
    return b"\1" + places.astype(np.uint32).tobytes() + values[places].tobytes()


def add_up(contents: list[bytes], count: int) -> Array:
    """The sum (N,) float64 of several packed numbers, in their order, with N = `count`."""
    total, bits = np.zeros(count), (count + 7) // 8
    for content in contents:
        if content[0]:
            places: Array = np.frombuffer(content, np.uint32, len(content) // 12, 1)
            begin = 1 + places.nbytes
        else:
            places = np.flatnonzero(np.unpackbits(np.frombuffer(content, np.uint8, bits, 1), count=count))
            begin = 1 + bits
        total[places] += np.frombuffer(content, np.float64, offset=begin)
    return total
