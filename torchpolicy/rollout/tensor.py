"""The loop for environments on tensors: all slots step together, and those that ended are refilled between chunks."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, prod
from time import perf_counter

import numpy as np
import torch
from gymnasium.utils.seeding import np_random
from torch import Tensor

from torchpolicy.base.device import by_place, memory_of
from torchpolicy.base.processes import ALONE, Group
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import blaming_calls
from torchpolicy.envs.base import Environment
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.normalizer import LIMIT
from torchpolicy.rollout.action_noise import ActionNoise
from torchpolicy.rollout.episodes import Episodes, Recording
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.slots import SLOTS, Index, Rollout
from torchpolicy.rollout.stepper import FAULTS, Lanes, Normalization, StepFunction, Stepper
from torchpolicy.vectors.low_rank import numbers_each
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Candidates

WIDEST, COMPILED_WIDEST, GPU_WIDEST = 4096, 16384, 2**20
"""Slots at most, by default."""

ROOM, GPU_SHARE = 2**28, 16
"""Bytes for the weights of the networks in all slots, by default; and what part of a GPU's memory they may take."""

MOMENTS_BYTES = 48
"""Of a number that is observed, for the normaliser, and while it is added up."""

REFILL = 64
"""Slots are refilled when one of so many has ended."""


class TensorRollout(Rollout):
    """As :class:`Rollout`, in an environment on tensors.

    Args:
        environment: Where to play.
        policy: Whose network the weight vectors are for. Put into eval mode.
        slots: S at most. A call takes no more than it has episodes for, rounded up to a multiple of 32.
        sampled: Sample actions.
        group: Processes that share the episodes.
        compile: Step in float32, many steps in one compiled graph, always at the full width. Then the last bits of
            a result are others, and chaotic episodes end elsewhere.
    """

    parts = ("step",)  # environment and policy are one loop

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        *,
        slots: int = WIDEST,
        sampled: bool = False,
        group: Group = ALONE,
        compile: bool = False,
        noise_rank: int | None = None,
    ) -> None:
        self.compile = compile
        self._compiled: set[StepFunction] = set()  # those that have run
        self._widest = slots
        width = slots if compile else 32
        super().__init__(environment, policy, slots=width, sampled=sampled, group=group, noise_rank=noise_rank)

    def play(self, candidates: Candidates, seeds: Sequence[int], *, observe: bool = False) -> Outcome:
        self._widen(len(candidates) * len(seeds))
        return super().play(candidates, seeds, observe=observe)

    def collect(self, seeds: Sequence[int], *, observe: bool = False) -> tuple[Outcome, Episodes]:
        self._widen(len(seeds))
        return super().collect(seeds, observe=observe)

    def close(self) -> None:
        pass

    def _open(self) -> None:
        if self.environment.tensor_env is None:
            raise ValueError(f"{self.environment.name} is not an environment on tensors: play it in a Rollout")
        self._env: TensorEnv = self.environment.tensor_env
        self._make_stepper()

    def _widen(self, episodes: int) -> None:
        """Take as many slots as there are episodes for; the same in every process.

        Each takes room for its share only, where bits do not depend on the width.
        """
        if self.noise_rank is None:
            episodes = ceil(episodes / self.group.size)
        width = self._widest if self.compile else min(self._widest, 32 * ceil(episodes / 32))
        if width != self.slots:
            self.slots = width
            del self._stepper, self._members  # before others take as much room
            self._make_stepper()

    def _make_stepper(self) -> None:
        limit = self.environment.time_limit or self._env.time_limit
        self._stepper = Stepper(
            self._env, self.policy, self._vector, self.slots, limit, compile=self.compile, noise_rank=self.noise_rank
        )
        self._members = self._stepper.members

    def _run(
        self,
        outcome: Outcome,
        seeds: Sequence[int],
        *,
        become: Callable[[Index, Index], None] = lambda slot, candidate: None,
        sampled: bool,
        observe: bool,
        recording: Recording | None = None,
    ) -> None:
        count, slots, device = len(seeds), self.slots, self._device
        initial = blaming_calls(self._env.initial, f"{self.environment.name} failed in initial")
        starts = np.stack([initial(np_random(int(seed))[0]) for seed in seeds], 1)
        fresh = Lanes.beginning(torch.from_numpy(starts).to(device, self._stepper.state_dtype))  # (K + 4, E)
        normalization = self._normalization()
        watched = observe and normalization is not None
        moments_shape = (2, *self._encoder.input_shape) if watched else (0,)
        function, chunk = self._stepper.function(watched=watched, sampled=sampled)
        kind = type(self.policy.net).__name__
        step = blaming_calls(function, f"a step of {self.environment.name} with the network, {kind}, failed")
        noise = ActionNoise(self._head, slots, chunk) if sampled else None
        queue = Queue(self.group.claim(outcome.returns.size))
        share = ceil(outcome.returns.size / self.group.size)  # leave the other processes theirs
        pairs = torch.full((slots,), -1, device=device)  # what plays in each slot, or -1
        started = torch.zeros(slots, dtype=torch.int64, device=device)  # since when
        table = fresh[:, :1].repeat(1, slots)  # (K + 4, S)
        lanes = Lanes.of(table, torch.zeros((slots, *moments_shape), dtype=torch.float64, device=device))
        lanes.alive.zero_()
        played = Played(outcome.returns.size, moments_shape, device)
        enough, tick = max(1, slots // REFILL), 0
        while True:
            found = _zeros(lanes.alive)
            if len(found) >= (enough if queue else slots):
                free = torch.as_tensor(found)
                ended = free[pairs.index_select(0, free) >= 0]
                rows, numbers = table.index_select(1, ended), pairs.index_select(0, ended)
                rows[-2] = ~self._env.terminal(rows[:-4].unbind())  # in place of whether it goes on
                if recording is not None:
                    each = zip(*(row.tolist() for row in (numbers, ended, started[ended], *rows[-3::2])), strict=True)
                    for number, slot, begin, length, fault in each:
                        if not fault:
                            recording.keep(number, slot, begin, begin + int(length))
                new = torch.from_numpy(queue.take(len(free) if tick else min(slots, share))).to(device)
                begun, episodes = free[: len(new)], new % count
                with by_place(device):
                    played.enter(numbers, rows[-4:], lanes.moments.index_select(0, ended) if watched else None)
                if not len(new) and len(free) == slots:
                    break
                with by_place(device):
                    pairs.index_fill_(0, ended, -1).index_copy_(0, begun, new)
                    started.index_fill_(0, begun, tick)
                    table.index_copy_(1, begun, fresh.index_select(1, episodes))
                    if watched:
                        lanes.moments.index_fill_(0, begun, 0)
                    become(begun, new // count)
                if noise is not None:
                    for slot, episode in zip(begun.tolist(), episodes.tolist(), strict=True):
                        noise.restart(slot, int(seeds[episode]))
            now = perf_counter()
            steps = step(lanes, chunk, normalization, *(() if noise is None else (noise.next().to(device),)))
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            seconds = perf_counter() - now
            if self.compile and not sampled and function not in self._compiled:
                self._compiled.add(function)
                torch.set_flush_denormal(False)  # some compilers' libraries turn it on for all the process
                self.compile_seconds += seconds
            self.seconds["step"] += seconds
            if recording is not None:
                for taken in steps:
                    recording.before(taken.seen.numpy(force=True), taken.choices.numpy(force=True))
                    recording.after(taken.rewards.numpy(force=True))
            tick += chunk
        played.report(outcome, seeds)
        outcome.slot_utilisation = outcome.env_steps / max(1, tick * slots)

    def _normalization(self) -> Normalization | None:
        """Of this call of play."""
        normalizer = self.policy.normalizer
        if normalizer is None:
            return None
        limit = torch.full((), LIMIT if normalizer.count else torch.inf, dtype=self._dtype, device=self._device)
        return Normalization(normalizer.mean, normalizer.mean.to(self._dtype), normalizer.std.to(self._dtype), limit)


class Played:
    """What episodes on tensors came to, on their device until all are over.

    Args:
        count: Pairs of a candidate and an episode.
        moments_shape: Of the moments of one.
        device: Of the lanes.
    """

    def __init__(self, count: int, moments_shape: tuple[int, ...], device: torch.device) -> None:
        self._table = torch.zeros(4, count, dtype=torch.float64, device=device)
        self._moments = torch.zeros((count, *moments_shape), dtype=torch.float64, device=device)

    def enter(self, pairs: Tensor, rows: Tensor, moments: Tensor | None) -> None:
        """Episodes of pairs (n,) have ended, with `rows` (4, n): return, length, whether truncated, and fault."""
        self._table.index_copy_(1, pairs, rows.double())
        if moments is not None:
            self._moments.index_copy_(0, pairs, moments)

    def report(self, outcome: Outcome, seeds: Sequence[int]) -> None:
        """Enter all of it."""
        shape = outcome.returns.shape
        totals, lengths, truncated, fault = self._table.numpy(force=True)
        outcome.returns = totals.reshape(shape)
        outcome.lengths = lengths.astype(np.int64).reshape(shape)
        outcome.truncated = (truncated > 0).reshape(shape)
        if self._moments.shape[1]:
            self._moments[torch.from_numpy(fault > 0)] = 0
            outcome.moments = self._moments.view(*shape, *self._moments.shape[1:]).numpy(force=True)
        for pair in np.flatnonzero(fault):
            candidate, episode = divmod(int(pair), len(seeds))
            outcome.fail(Episode(candidate, episode, seeds), int(lengths[pair]), FAULTS[int(fault[pair])])


class Queue:
    """Numbers that come in ranges, taken as many at a time as there is room for."""

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


def _zeros(values: Tensor) -> Array | Tensor:
    """Where values (S,) are 0, (n,) int64."""
    if values.device.type == "cpu":  # NumPy is three times as fast
        return np.flatnonzero(values.numpy() == 0)
    return (values == 0).nonzero().squeeze(1)


def choose_slots(
    environment: Environment,
    policy: Policy,
    episodes: int,
    *,
    compile: bool = False,
    noise_rank: int | None = None,
) -> int:
    """How many slots a rollout gets by default where so many episodes are to be played at once."""
    if environment.tensor_env is None:
        return SLOTS
    vector = ParamVector(policy.net)
    each = numbers_each(vector.slices, noise_rank) * vector.dtype.itemsize
    widest, room = COMPILED_WIDEST if compile else WIDEST, ROOM
    if vector.device.type != "cpu":
        widest, room = GPU_WIDEST, memory_of(vector.device) // GPU_SHARE
        each += 0 if policy.normalizer is None else MOMENTS_BYTES * prod(policy.encoder.input_shape)
    fitting = room // max(1, each)
    return min(widest, 32 * ceil(episodes / 32), max(32, fitting - fitting % 32))


def make_rollout(
    environment: Environment,
    policy: Policy,
    *,
    slots: int | None = None,
    sampled: bool = False,
    group: Group = ALONE,
    compile: bool = False,
    noise_rank: int | None = None,
) -> Rollout:
    """What plays a policy in an environment: a :class:`TensorRollout` where it is one on tensors."""
    if slots is None:
        slots = choose_slots(environment, policy, WIDEST, compile=compile, noise_rank=noise_rank)
    if environment.tensor_env is not None:
        return TensorRollout(
            environment, policy, slots=slots, sampled=sampled, group=group, compile=compile, noise_rank=noise_rank
        )
    return Rollout(environment, policy, slots=slots, sampled=sampled, group=group, noise_rank=noise_rank)
