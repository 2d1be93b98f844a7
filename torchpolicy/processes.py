"""The processes that share a run: who evaluates what, gathering it, threads and signals.

One mechanism, a ``torch.distributed`` group over Gloo. Every process holds the whole search and computes
the same update; what travels are returns, never weights or candidates.
"""

import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from types import FrameType

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others before it gives up and names the missing one."""


LOST = 75
"""Exit code of a process whose companion died: the one to look at is the companion."""


CONNECTING = timedelta(minutes=1)
"""How long a process waits for the others at the start."""


class LostProcessError(RuntimeError):
    """Another process of the group has died, or does not answer."""


class Stopped(BaseException):
    """A signal asks the run to stop. Not an error: nothing but the trainer should catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Terminated(SystemExit):
    """The end of this process after a signal and a checkpoint: our own, where any other SystemExit is a mistake."""


class Group:
    """The processes of a run. Alone by default, and then nothing of it is started.

    Args:
        store: Where work is claimed; None when alone.
        rank: Of this process.
        size: How many there are.

    Attributes:
        rank: 0 is the one that writes.
        size: How many processes there are.
    """

    def __init__(self, store: Store | None = None, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size, self._store = rank, size, store
        self._turn = 0  # of claims and sums, the same in every process
        if store is not None:
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)

    @classmethod
    def of_torchrun(cls) -> "Group":
        """The group that ``torchrun`` has started this process in; alone if it has not."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        store, rank, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return cls(PrefixStore(f"torchpolicy-{attempt}", store), rank, size)

    @classmethod
    def around(cls, server: socket.socket, rank: int, size: int) -> "Group":
        """A group on this machine, around a listening socket that its processes have inherited."""
        host, port = server.getsockname()
        descriptor = server.detach()
        if rank != 0:
            os.close(descriptor)
            return cls(TCPStore(host, port, size, False, CONNECTING, False), rank, size)
        return cls(TCPStore(host, port, size, True, CONNECTING, False, master_listen_fd=descriptor), rank, size)

    def claim(self, total: int) -> Iterator[range]:
        """The numbers below `total`, each given to one process of all, in the order they ask.

        Ranges shrink with what is left, so that no process idles while work is.
        """
        if self._store is None:
            yield range(total)
            return
        self._turn += 1
        end = 0
        while end < total:
            chunk = max(1, (total - end) // (4 * self.size))
            end = self._asking(partial(_claim, name=f"claim-{self._turn}", chunk=chunk))
            yield range(end - chunk, min(end, total))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Elementwise sum over the processes, float64. Exact where all but one of them hold zero."""
        if self._store is None:
            return values
        self._turn += 1
        self._asking(lambda store: store.set(f"at-{self.rank}", str(self._turn)))
        total = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        self._asking(lambda _: dist.all_reduce(total))
        if self.rank == 0:  # nobody claims from what was summed
            self._asking(lambda store: store.delete_key(f"claim-{self._turn - 1}"))
        return total.numpy()

    def gather(self, text: str) -> list[str]:
        """The text of every process, by rank."""
        return [content.decode() for content in self._gather(text.encode())]

    def join(self, rows: np.ndarray) -> np.ndarray:
        """The rows (n, …) of every process, by rank, where n may differ between them."""
        if self._store is None:
            return rows
        everything = bytearray().join(self._gather(rows.tobytes()))
        return np.frombuffer(everything, rows.dtype).reshape(-1, *rows.shape[1:])

    def _gather(self, content: bytes) -> list[bytes]:
        """The content of every process, by rank."""
        if self._store is None:
            return [content]
        lengths = self.sum(np.eye(self.size)[self.rank] * len(content)).astype(int)
        padded = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else padded[:0]
        received = [torch.empty_like(padded) for _ in range(self.size)]
        self._asking(lambda _: dist.all_gather(received, padded))
        return [row[:length].numpy().tobytes() for row, length in zip(received, lengths, strict=True)]

    def first(self, value: float) -> float:
        """The value that the first process has."""
        return float(self.sum(np.array([value if self.rank == 0 else 0.0]))[0])

    def agree(self, *tensors: Tensor) -> bool:
        """Whether all processes hold the same bits."""
        if self._store is None:
            return True
        digest = hashlib.sha256()
        for tensor in tensors:
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return len(set(self.gather(digest.hexdigest()))) == 1

    def close(self) -> None:
        """Leave the group."""
        if self._store is not None:
            dist.destroy_process_group()

    def _asking(self, question: Callable[[Store], int | None]) -> int:
        """Ask the others; where they do not answer, say which."""
        store = self._store
        if store is None:
            raise LostProcessError("alone")
        try:
            return question(store) or 0
        except RuntimeError as error:
            time.sleep(1.0)  # where a signal ended the others, it reaches us too, and is what should be said
            raise LostProcessError(f"process {self.rank} of {self.size}: {self._missing(store)}") from error

    def _missing(self, store: Store) -> str:
        """Which processes have not come as far as this one, if the store still knows."""
        missing = []
        for rank in range(self.size):
            try:
                known = store.check([f"at-{rank}"])
                if not known or int(store.get(f"at-{rank}")) < self._turn:
                    missing.append(str(rank))
            except RuntimeError:
                return "lost the others"
        return f"no answer from process {', '.join(missing)}" if missing else "lost the others"


def _claim(store: Store, name: str, chunk: int) -> int:
    return int(store.add(name, chunk))


ALONE = Group()


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread while it lasts.

    The engine's operations are small, and threads that share cores slow them down many times over;
    how sums are split over threads would also show in the last bits of a result.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def stoppable(signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """Let signals raise :class:`Stopped` while it lasts; a second SIGINT ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            os._exit(128 + number)
        received.append(number)
        if len(received) == 1:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
