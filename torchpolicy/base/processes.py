"""The processes that share a run: dividing the work, gathering results, threads and signals.

They form one ``torch.distributed`` group over Gloo. Every process holds the whole search and computes the same update,
so returns travel between them, but never weights or candidates.
"""

import hashlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
"""Time that a process waits for the others before it gives up and names the missing one."""

LOST = 75
"""Exit code of a process that ended because another one of its group died."""

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment that make a process one of a group: its number, how many there are, and the host and
port of process 0."""

CONNECTING = timedelta(minutes=1)
"""Time that a process waits for the others at the start."""


SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run after a checkpoint was written."""


class LostProcessError(RuntimeError):
    """Another process of the group has died or does not answer."""


class Stopped(BaseException):
    """A signal asks the run to stop. This is not an error, and only the trainer should catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Terminated(SystemExit):
    """The end of this process after a signal and a checkpoint: our own, where any other SystemExit is a mistake."""


class Group:
    """The processes of a run. By default there is one process, and no group is started.

    Args:
        store: The store in which the processes claim work; None if there is one process.
        rank: Number of this process, from 0.
        size: Number of processes.

    Attributes:
        rank: Number of this process. Process 0 writes the run's files.
        size: Number of processes.
    """

    def __init__(self, store: Store | None = None, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size, self._store = rank, size, store
        self._turn = 0  # number of claims and sums so far, the same in every process
        if store is not None:
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)

    @classmethod
    def of_launcher(cls) -> "Group":
        """The group in which a launcher started this process; a group of one if there was none.

        A launcher is ``torchrun``, or whatever sets all variables of :data:`LAUNCHED`, as Kubernetes' PyTorchJob does.

        Raises:
            ValueError: If it sets some of them only, or no numbers.
        """
        if not is_launched(os.environ):
            return cls()
        store, rank, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        return cls(PrefixStore(f"torchpolicy-{attempt}", store), rank, size)

    @classmethod
    def around(cls, server: socket.socket, rank: int, size: int) -> "Group":
        """A group on this machine. Its processes have inherited `server`, a listening socket."""
        host, port = server.getsockname()
        descriptor = server.detach()
        if rank != 0:
            os.close(descriptor)
            return cls(TCPStore(host, port, size, False, CONNECTING, False), rank, size)
        return cls(TCPStore(host, port, size, True, CONNECTING, False, master_listen_fd=descriptor), rank, size)

    def claim(self, total: int) -> Iterator[range]:
        """Ranges of the numbers below `total`. Each number goes to one process, to the next one that asks.

        Ranges get shorter as the work runs out, so that all processes finish at about the same time.
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
        """Elementwise sum over the processes, float64. It is exact for elements that are zero in all but one."""
        if self._store is None:
            return values
        self._turn += 1
        self._asking(lambda store: store.set(f"at-{self.rank}", str(self._turn)))
        total = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        self._asking(lambda _: dist.all_reduce(total))
        if self.rank == 0:  # all processes have finished that claim
            self._asking(lambda store: store.delete_key(f"claim-{self._turn - 1}"))
        return total.numpy()

    def gather(self, text: str) -> list[str]:
        """The texts of all processes, in the order of ranks."""
        return [content.decode() for content in self._gather(text.encode())]

    def join(self, rows: np.ndarray) -> np.ndarray:
        """The rows (n, …) of every process in the order of ranks; n may differ between processes."""
        if self._store is None:
            return rows
        everything = bytearray().join(self._gather(rows.tobytes()))
        return np.frombuffer(everything, rows.dtype).reshape(-1, *rows.shape[1:])

    def _gather(self, content: bytes) -> list[bytes]:
        """The contents of all processes, in the order of ranks."""
        if self._store is None:
            return [content]
        lengths = self.sum(np.eye(self.size)[self.rank] * len(content)).astype(int)
        padded = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else padded[:0]
        received = [torch.empty_like(padded) for _ in range(self.size)]
        self._asking(lambda _: dist.all_gather(received, padded))
        return [row[:length].numpy().tobytes() for row, length in zip(received, lengths, strict=True)]

    def first(self, value: float) -> float:
        """The value that process 0 passed."""
        return float(self.sum(np.array([value if self.rank == 0 else 0.0]))[0])

    def agree(self, *tensors: Tensor) -> bool:
        """Whether the tensors have the same bits in all processes."""
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
        """The answer to a question that needs the other processes.

        Raises:
            LostProcessError: If one of them does not answer. The message says which.
        """
        store = self._store
        if store is None:
            raise LostProcessError("alone")
        try:
            return question(store) or 0
        except RuntimeError as error:
            time.sleep(1.0)  # if a signal ended the others, it arrives here in the meantime and is the better reason
            raise LostProcessError(f"process {self.rank} of {self.size}: {self._missing(store)}") from error

    def _missing(self, store: Store) -> str:
        """Words that name the processes which are behind this one, as far as the store can still tell."""
        missing = []
        for rank in range(self.size):
            try:
                known = store.check([f"at-{rank}"])
                if not known or int(store.get(f"at-{rank}")) < self._turn:
                    missing.append(str(rank))
            except RuntimeError:
                return "lost the others"
        return f"no answer from process {', '.join(missing)}" if missing else "lost the others"


def is_launched(environ: Mapping[str, str]) -> bool:
    """Whether an environment's variables make this process one of a group.

    Raises:
        ValueError: If some of :data:`LAUNCHED` are missing, or are not the numbers that they should be.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        return True
    given = [name for name in LAUNCHED if environ.get(name)]
    if "RANK" not in given or "WORLD_SIZE" not in given:  # neither alone says that there are others
        return False
    missing = [name for name in LAUNCHED if name not in given]
    if missing:
        raise ValueError(
            f"RANK and WORLD_SIZE are set, so this is one of several processes: set {', '.join(missing)}, too"
        )
    rank, size, port = (environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    if not (rank.isdigit() and size.isdigit() and port.isdigit() and int(rank) < int(size)):
        raise ValueError(f"RANK should be a number below WORLD_SIZE, got RANK={rank}, WORLD_SIZE={size}, port {port}")
    return True


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _claim(store: Store, name: str, chunk: int) -> int:
    return int(store.add(name, chunk))


ALONE = Group()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread inside the block.

    The engine's operations are small, and threads that share cores make them many times slower. The last bits of a sum
    would also depend on the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def holding(signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Let signals wait until the block has ended, for what a handler raises within a fork gets lost.

    They are not blocked, because a thread of torch's would then receive them, and Python runs handlers all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


@contextmanager
def stoppable(signals: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Let signals raise :class:`Stopped` inside the block; a second SIGINT ends the process at once."""
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
