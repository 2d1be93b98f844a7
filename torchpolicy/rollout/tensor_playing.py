"""Which episode plays in which slot where environments are on tensors, and what those that have ended came to."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.device import by_place
from torchpolicy.base.types import Array
from torchpolicy.rollout.action_noise import ActionNoise
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.recording import Recording
from torchpolicy.rollout.slot_table import SlotTable
from torchpolicy.rollout.stepper import FAULTS, Stepper
from torchpolicy.vectors.population import Population

REFILL = 64
"""Slots take their next episodes when one of so many has none in progress."""


class Results:
    """What P * E episodes on tensors came to, on their device until all are over.

    Args:
        count: P * E.
        moments_shape: The shape of one episode's moments; (0,) unless they are asked for.
        device: The device of the slots.
    """

    def __init__(self, count: int, moments_shape: tuple[int, ...], device: torch.device) -> None:
        self._table = torch.zeros(4, count, dtype=torch.float64, device=device)
        self.moments = torch.zeros((count, *moments_shape), dtype=torch.float64, device=device)

    def enter(self, numbers: Tensor, slots: SlotTable, truncated: Tensor) -> None:
        """Enter the episodes of numbers (n,), which have ended in these n slots; truncated is (n,) bool."""
        columns = torch.stack([slots.totals, slots.lengths, truncated.to(slots.totals), slots.fault])
        self._table.index_copy_(1, numbers, columns.double())
        if self.moments.shape[1]:
            self.moments.index_copy_(0, numbers, slots.moments)

    def report(self, outcome: Outcome, seeds: Sequence[int]) -> None:
        """Enter all of it in the outcome; seeds are (E,)."""
        shape = outcome.returns.shape
        totals, lengths, truncated, fault = self._table.numpy(force=True)
        outcome.returns = totals.reshape(shape)
        outcome.lengths = lengths.astype(np.int64).reshape(shape)
        outcome.truncated = (truncated > 0).reshape(shape)
        if self.moments.shape[1]:
            self.moments[torch.from_numpy(fault > 0)] = 0
            outcome.moments = self.moments.view(*shape, *self.moments.shape[1:]).numpy(force=True)
        for number in np.flatnonzero(fault).tolist():
            outcome.fail(Episode(number, seeds), int(lengths[number]), FAULTS[int(fault[number])])


class Queue:
    """Numbers of episodes that come in ranges, taken as many at a time as there is room for."""

    def __init__(self, ranges: Iterator[range]) -> None:
        self._ranges, self._rest, self._more = ranges, range(0), True

    def __bool__(self) -> bool:
        """Whether there may be more."""
        return self._more

    def take(self, count: int) -> Array:
        """The next `count` of them, (n,); fewer where there are no more."""
        taken = [np.empty(0, np.int64)]
        while count:
            self._rest = self._rest or next(self._ranges, range(0))
            if not self._rest:
                self._more = False
                break
            part, self._rest = self._rest[:count], self._rest[count:]
            taken.append(np.arange(part.start, part.stop))
            count -= len(part)
        return np.concatenate(taken)


class TensorPlaying:
    """The episodes in progress, one in each slot; one that has ended stays in its slot until enough others have, too.

    Args:
        stepper: What steps the slots. Its network in a slot gets the weights of the candidate that plays there, and
            begins anew what it remembers.
        population: The candidates' weights.
        states: (K, E), the first states of a candidate's episodes, on the device of the slots.
        seeds: (E,), the seeds of a candidate's episodes.
        queue: The episodes to play.
        results: Where they are entered when they have ended.
        slots: S, the number of slots.
        noise: Restarted where an episode begins.
        recording: Keeps the episodes that ended well.

    Attributes:
        slots: The state of all slots.
        live: Whether any slot has an episode in progress.
        tick: Steps so far.
    """

    def __init__(
        self,
        stepper: Stepper,
        population: Population,
        states: Tensor,
        seeds: Sequence[int],
        queue: Queue,
        results: Results,
        *,
        slots: int,
        noise: ActionNoise,
        recording: Recording,
    ) -> None:
        self._stepper, self._population = stepper, population
        self._seeds, self._queue, self._results = seeds, queue, results
        self._noise, self._recording = noise, recording
        self._device, self._count = states.device, slots
        self._beginnings = SlotTable.beginning(states)  # (K + 4, E)
        self._table = self._beginnings[:, :1].repeat(1, slots)  # (K + 4, S)
        moments = results.moments.new_zeros(slots, *results.moments.shape[1:])
        self.slots = SlotTable.of(self._table, moments, matrix=stepper.env.matrix_state)
        self.slots.alive.zero_()
        self._numbers = torch.full((slots,), -1, device=self._device)  # of the episode in each slot; -1 for none
        self._started = torch.zeros(slots, dtype=torch.int64, device=self._device)  # tick of its first step
        self.live, self.tick = False, 0

    def begin(self, count: int) -> None:
        """Start the first episodes, in `count` slots."""
        self._start(torch.arange(self._count, device=self._device), count)

    def advance(self, steps: int) -> None:
        """Take in that all slots were stepped; once enough episodes have ended, enter them and start the next."""
        self.tick += steps
        idle = _find_zeros(self.slots.alive)
        if len(idle) >= (max(1, self._count // REFILL) if self._queue else self._count):
            slots = torch.as_tensor(idle)
            self._finish(slots[self._numbers.index_select(0, slots) >= 0])
            self._start(slots, len(slots))

    def _finish(self, ended: Tensor) -> None:
        """Enter the episodes of slots (n,), which have ended."""
        numbers, started = self._numbers.index_select(0, ended), self._started.index_select(0, ended)
        moments, matrix = self.slots.moments.index_select(0, ended), self._stepper.env.matrix_state
        slots = SlotTable.of(self._table.index_select(1, ended), moments, matrix=matrix)
        self._recording.keep_all(numbers, ended, started, slots.lengths, slots.fault)
        with by_place(self._device):
            self._results.enter(numbers, slots, truncated=~self._stepper.env.terminal(slots.state))
            self._numbers.index_fill_(0, ended, -1)

    def _start(self, idle: Tensor, count: int) -> None:
        """Start up to `count` more episodes of the queue in the first of all idle slots (n,)."""
        numbers = torch.from_numpy(self._queue.take(count)).to(self._device)
        self.live = len(numbers) > 0 or len(idle) < self._count
        slots, candidates, episodes = idle[: len(numbers)], numbers // len(self._seeds), numbers % len(self._seeds)
        with by_place(self._device):
            self._numbers.index_copy_(0, slots, numbers)
            self._started.index_fill_(0, slots, self.tick)
            self._table.index_copy_(1, slots, self._beginnings.index_select(1, episodes))
            self.slots.moments.index_fill_(0, slots, 0)
            self._stepper.members.write_rows(slots, self._population, candidates)
            self._stepper.memory.restart(slots)
        self._noise.restart_all(slots, episodes)


def _find_zeros(values: Tensor) -> Array | Tensor:
    """The places where values (S,) are 0, (n,) int64."""
    if values.device.type == "cpu":  # NumPy is three times as fast
        return np.flatnonzero(values.numpy() == 0)
    return (values == 0).nonzero().squeeze(1)
