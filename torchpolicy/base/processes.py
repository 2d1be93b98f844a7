"""The processes that share a run: dividing the work, gathering results, noticing who is silent.

They form one ``torch.distributed`` group over Gloo. Every process holds the whole search and computes the same update,
so returns travel between them, but never weights or candidates.
"""

import atexit
import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from math import inf
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store, _set_pg_timeout
from torch.distributed.rendezvous import rendezvous

from torchpolicy.base.activity import TURN, Activity
from torchpolicy.base.claims import Claims
from torchpolicy.base.heart import Heart, exit_at_once
from torchpolicy.base.launcher import (
    INTERFACE,
    attempt,
    choose_interface,
    in_words,
    is_elastic,
    is_launched,
    master,
    speaks,
)
from torchpolicy.base.letters import FOR_EVER, Letter, Letters, add_up, is_over, pack
from torchpolicy.base.peers import Board, Nobody, Peers, Post
from torchpolicy.base.waiting import SilentProcessError, Waiting

Answer = TypeVar("Answer")

PATIENCE = 60.0
"""Seconds for which a process may give no sign of life before it counts as lost, by default."""

LOST = 75
"""Exit code of a process that ended because another one of its group died."""

CONNECTING = timedelta(minutes=1)
"""Time that a process waits for the others at the start, where all are started at once."""

QUEUEING = timedelta(minutes=30)
"""The same where each process is started by itself, as from a queue of jobs."""

LOOK = 1.0
"""Seconds between looks at the others while waiting for them."""


class LostProcessError(RuntimeError):
    """Another process of the group has died or does not answer."""


class Group:
    """The processes of a run. By default there is one process, and no group is started.

    Args:
        store: The store in which the processes claim work; None if there is one process.
        rank: Number of this process, from 0.
        size: Number of processes.
        peers: What the processes know of each other; None if there is one process.
        patience: Seconds for which another process may give no sign of life before it counts as lost.

    Attributes:
        rank: Number of this process. Process 0 writes the run's files.
        size: Number of processes.
        activity: What this process is doing.
        speaks: Whether this process tells the user of its host what happens: the first one there.

    Raises:
        LostProcessError: If the processes cannot connect with each other.
    """

    def __init__(
        self,
        store: Store | None = None,
        rank: int = 0,
        size: int = 1,
        peers: Peers | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.rank, self.size, self._store = rank, size, store
        self.activity = peers.of(rank) if isinstance(peers, Board) else Activity()
        self._claims = Claims(rank, size)
        self.speaks, self._peers = speaks(os.environ, rank), peers or Nobody()
        self._waiting = Waiting(rank, size, self._peers, patience, speaks=self.speaks)
        self._turn = 0  # number of claims and sums so far, the same in every process
        self._lost = False  # whether another process was lost: then an exchange may go on for ever in a thread
        self._heart: Heart | None = None
        if store is None:
            return
        post, elastic = (peers if isinstance(peers, Post) else None), is_elastic(os.environ)
        self._heart = Heart(rank, self.activity, LOST, post=post, size=size, patience=patience, orphan=elastic)
        try:
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=CONNECTING)
        except RuntimeError as error:
            self._heart.stop()
            raise LostProcessError(
                f"process {rank} of {size} could not connect with the others. They should reach it at "
                f"{in_words(os.environ)}; if they cannot, set {INTERFACE} on this host to the name of the network "
                f"interface that they reach ({str(error).splitlines()[0]})"
            ) from error
        _set_pg_timeout(FOR_EVER)
        self._letters = Letters(rank, size, dist.isend, dist.irecv)

    @classmethod
    def of_launcher(cls, patience: float = PATIENCE) -> "Group":
        """The group in which a launcher started this process; a group of one if there was none.

        A launcher is ``torchrun``, or whatever sets all variables of :data:`LAUNCHED`, as Kubernetes' PyTorchJob does.

        Raises:
            ValueError: If it sets some of them only, or no numbers.
            LostProcessError: If the others do not come.
        """
        if not is_launched(os.environ):
            return cls()
        place, time_limit = master(os.environ), CONNECTING if is_elastic(os.environ) else QUEUEING
        try:
            store, rank, size = next(iter(rendezvous("env://", timeout=time_limit)))
            word = TCPStore(*place, None, False, time_limit, False)
        except RuntimeError as error:
            raise LostProcessError(
                f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} found not all of the others at "
                f"{place[0]}:{place[1]} within {time_limit.total_seconds():.0f} s ({str(error).splitlines()[0]})"
            ) from error
        if size > 1 and (name := choose_interface(os.environ)) is not None:
            os.environ[INTERFACE] = name
        name = attempt(os.environ)
        return cls(PrefixStore(name, store), rank, size, Post(PrefixStore(f"{name}-word", word)), patience)

    @classmethod
    def around(cls, server: socket.socket, rank: int, size: int, board: Board) -> "Group":
        """A group on this machine. Its processes have inherited `server`, a listening socket, and share a board."""
        host, port = server.getsockname()
        descriptor = server.detach()
        if rank != 0:
            os.close(descriptor)
            return cls(TCPStore(host, port, size, False, CONNECTING, False), rank, size, board, inf)
        store = TCPStore(host, port, size, True, CONNECTING, False, master_listen_fd=descriptor)
        return cls(store, rank, size, board, inf)  # whoever started them looks after them

    def claim(self, total: int, at_once: int = 0) -> Iterator[range]:
        """Ranges of the numbers below `total`. Each number goes to one process: see :class:`Claims`.

        Args:
            total: How many numbers there are.
            at_once: How many of them this process, like every other one, works on at once.
        """
        if self._store is None:
            yield range(total)
            return
        name = f"claim-{self._next_turn()}"
        yield from self._claims.ranges(
            total, at_once, lambda chunk: self._asking(lambda store: int(store.add(name, chunk)))
        )

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Elementwise sum over the processes, float64. It is exact for elements that are zero in all but one."""
        if self._store is None:
            return values
        values = np.ascontiguousarray(values, dtype=np.float64)
        total = add_up(self._exchange(pack(values.ravel())), values.size).reshape(values.shape)
        if self.rank == 0:  # all processes have finished that claim
            self._asking(lambda store: store.delete_key(f"claim-{self._turn - 1}"))
        return total

    def gather(self, text: str) -> list[str]:
        """The texts of all processes, in the order of ranks."""
        return [content.decode() for content in self._exchange(text.encode())]

    def join(self, rows: np.ndarray) -> np.ndarray:
        """The rows (n, …) of every process in the order of ranks; n may differ between processes."""
        if self._store is None:
            return rows
        everything = bytearray().join(self._exchange(rows.tobytes()))
        return np.frombuffer(everything, rows.dtype).reshape(-1, *rows.shape[1:])

    def introduce(self, host: str) -> list[str]:
        """The hosts of all processes, in the order of ranks, which are named by their hosts from now on."""
        hosts = self.gather(host)
        self._peers.names = {rank: f" ({name})" for rank, name in enumerate(hosts)}
        return hosts

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
        parts = np.frombuffer(digest.digest(), np.uint32).astype(np.float64)
        return len(np.unique(self.sum(np.outer(np.eye(self.size)[self.rank], parts)), axis=0)) == 1

    def close(self) -> None:
        """Leave the group."""
        if self._heart is not None:
            self._heart.stop()
        if self._store is not None and not self._lost:
            self._letters.close()
            dist.destroy_process_group()

    def _next_turn(self) -> int:
        """The number of the claim or exchange that begins here, which the others can read."""
        self._turn = self.activity.row[TURN] = self._turn + 1
        return self._turn

    def _exchange(self, content: bytes) -> list[bytes]:
        """The contents of all processes, in the order of ranks, waited for as long as they give signs of life."""
        if self._store is None:
            return [content]
        self._next_turn()

        def correspond(_: object) -> list[Letter]:
            self._letters.write(content)
            return self._await(lambda: self._letters.read(LOOK))

        letters: list[Letter] = self._asking(correspond)
        longest, room = max(letter.length for letter in letters), self._letters.room
        if longest <= room:
            return [letter.beginning for letter in letters]
        own = torch.zeros(longest - room, dtype=torch.uint8)
        own.numpy()[: max(0, len(content) - room)] = np.frombuffer(content[room:], np.uint8)
        rests = [torch.empty_like(own) for _ in letters]
        self._asking(lambda _: self._await(partial(is_over, LOOK, dist.all_gather(rests, own, async_op=True))))
        pairs = zip(letters, rests, strict=True)
        return [letter.beginning + rest[: max(0, letter.length - room)].numpy().tobytes() for letter, rest in pairs]

    def _await(self, look: Callable[[], Answer | None]) -> Answer:
        """What the others are asked for, as soon as it is there: `look` waits for it for a moment."""
        since = time.monotonic()
        self._waiting.begin()
        while (found := look()) is None:
            self._waiting.look(self._turn, time.monotonic() - since)
        return found

    def _asking(self, question: Callable[[Any], Any]) -> Any:
        """The answer to a question that needs the other processes.

        Raises:
            LostProcessError: If one of them does not answer. The message says which.
        """
        try:
            return question(self._store)
        except RuntimeError as error:
            if not self._lost:
                self._lost = True
                atexit.register(exit_at_once, LOST)
            time.sleep(1.0)  # if a signal ended the others, it arrives here in the meantime and is the better reason
            reason = str(error) if isinstance(error, SilentProcessError) else self._waiting.missing(self._turn)
            raise LostProcessError(f"process {self.rank} of {self.size}: {reason}") from error


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
