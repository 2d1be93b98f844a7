"""Contents that every process sends to every other one, each in one way of the link between them."""

import atexit
from collections.abc import Callable
from contextlib import suppress
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
"""Bytes at the beginning of a letter that say how long its content is."""

ROOM, MOST = 2**13, 2**24
"""Bytes that a process is ready to receive: from each other one at first, and from all of them at most. A letter that
is longer than all before it is sent in two parts."""


class Letters:
    """Sends a content to every other process, and receives theirs.

    Gloo sends nothing before the receiver has said that it is ready, so that its own exchanges take two or three ways
    of the link. Here a thread gets ready for the next letters as soon as it has the last ones: whatever a process has
    to say later is on its way at once.

    Args:
        rank: Number of this process.
        size: Number of processes.
        send: Begins to send a tensor (N,) uint8 to a process, and returns what waits for its end.
        receive: Gets ready to receive at most N bytes from a process into a tensor (N,) uint8, and returns what waits
            for them.
    """

    def __init__(
        self, rank: int, size: int, send: Callable[[Tensor, int], Any], receive: Callable[[Tensor, int], Any]
    ) -> None:
        self._rank, self._send, self._receive = rank, send, receive
        self._others = [other for other in range(size) if other != rank]
        self._most = max(ROOM, MOST // size)
        self._rooms = dict.fromkeys(range(size), ROOM)  # for the letters of each process, the same in all of them
        self._written: SimpleQueue[Tensor | None] = SimpleQueue()
        self._read: SimpleQueue[list[bytes] | BaseException] = SimpleQueue()
        self._sent: list[Any] = []
        self._thread = Thread(target=self._work, name="torchpolicy-letters", daemon=True)
        self._thread.start()
        atexit.register(self.close)  # a thread that waits in Gloo when Python ends would end the process by a signal

    def write(self, content: bytes) -> None:
        """Send a content to all others. All processes do this equally often."""
        letter = torch.empty(HEAD + len(content), dtype=torch.uint8)
        letter.numpy()[:HEAD] = np.frombuffer(len(content).to_bytes(HEAD, "little"), np.uint8)
        letter.numpy()[HEAD:] = np.frombuffer(content, np.uint8)
        self._sent = [self._send(letter[: self._rooms[self._rank]], other) for other in self._others]
        self._written.put(letter)

    def read(self, within: float) -> list[bytes] | None:
        """The contents of all processes, in the order of ranks, that belong to the last one written.

        Args:
            within: Seconds to wait for them. Signals are attended to in the meantime.

        Returns:
            The contents; None if they have not come yet.

        Raises:
            RuntimeError: If another process is lost.
        """
        try:
            found = self._read.get(timeout=within)
        except Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Wait for no more letters."""
        atexit.unregister(self.close)
        self._written.put(None)
        if self._thread.is_alive() and self._others:
            with suppress(RuntimeError):  # after a wait that was in vain, Gloo ends all others
                self._receive(torch.empty(1, dtype=torch.uint8), self._others[0]).wait(AT_ONCE)
        self._thread.join(5.0)

    def _work(self) -> None:
        """Receive letters until something ends it."""
        contents: list[bytes] | None = []
        try:
            while contents is not None:
                boxes = {other: torch.empty(self._rooms[other], dtype=torch.uint8) for other in self._others}
                awaited = {other: self._receive(box, other) for other, box in boxes.items()}
                if contents:
                    self._read.put(contents)
                contents = self._letters(boxes, awaited)
        except BaseException as error:
            self._read.put(error)

    def _letters(self, boxes: dict[int, Tensor], awaited: dict[int, Any]) -> list[bytes] | None:
        """The contents of all processes, as soon as they and the own one are on their way; None at the end."""
        found: dict[int, bytes] = {}
        lengths, rests = {}, {}
        for other, box in boxes.items():
            awaited[other].wait(FOR_EVER)
            lengths[other] = HEAD + int.from_bytes(box[:HEAD].numpy().tobytes(), "little")
            found[other] = box[HEAD : lengths[other]].numpy().tobytes()
            if lengths[other] > len(box):
                rest = torch.empty(lengths[other] - len(box), dtype=torch.uint8)
                rests[other] = rest, self._receive(rest, other)
        own = self._written.get()
        if own is None:
            return None
        if len(own) > self._rooms[self._rank]:
            self._sent += [self._send(own[self._rooms[self._rank] :], other) for other in self._others]
        for other, (rest, work) in rests.items():
            work.wait(FOR_EVER)
            found[other] += rest.numpy().tobytes()
        for work in self._sent:
            work.wait(FOR_EVER)
        found[self._rank], lengths[self._rank] = own[HEAD:].numpy().tobytes(), len(own)
        for rank, length in lengths.items():
            self._rooms[rank] = min(self._most, max(self._rooms[rank], length))
        return [found[rank] for rank in sorted(found)]


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
