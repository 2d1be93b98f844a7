"""The loop for environments on tensors: all slots step together, and those that ended are refilled between chunks."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from math import ceil

import numpy as np
import torch
from gymnasium.utils.seeding import np_random
from torch import Tensor

from torchpolicy.envs.base import Environment
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.episodes import Episodes, Recording
from torchpolicy.lanes import FAULTS, Lanes, Normalization, Stepper
from torchpolicy.normalizer import LIMIT
from torchpolicy.outcome import Episode, Outcome
from torchpolicy.policies.base import Policy
from torchpolicy.processes import ALONE, Group
from torchpolicy.rollout import ActionNoise, Index, Rollout
from torchpolicy.spaces import Array

WIDEST = 4096
"""Slots at most, by default."""

CHUNK, COMPILED_CHUNK = 4, 16
"""Steps between looks at which slots have ended."""


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

    Attributes:
        compile_seconds: What the first chunk took, which compiles; 0 without.
    """

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        *,
        slots: int = WIDEST,
        sampled: bool = False,
        group: Group = ALONE,
        compile: bool = False,
    ) -> None:
        self.compile, self.compile_seconds = compile, 0.0
        self._widest = slots
        super().__init__(environment, policy, slots=slots if compile else 32, sampled=sampled, group=group)

    def play(self, candidates: Tensor, seeds: Sequence[int], *, observe: bool = False) -> Outcome:
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
        """Take as many slots as there are episodes for; the same in every process."""
        width = self._widest if self.compile else min(self._widest, 32 * ceil(episodes / 32))
        if width != self.slots:
            self.slots = width
            self._make_stepper()

    def _make_stepper(self) -> None:
        limit = self.environment.time_limit or self._env.time_limit
        self._stepper = Stepper(self._env, self.policy, self._vector, self.slots, limit, compile=self.compile)
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
        count, slots = len(seeds), self.slots
        starts = np.stack([self._env.initial(np_random(int(seed))[0]) for seed in seeds], 1)
        first = torch.from_numpy(starts).to(self._stepper.state_dtype).unbind()  # K numbers (E,)
        normalization = self._normalization()
        watched = observe and normalization is not None
        moments_shape = (2, *self._encoder.input_shape) if watched else (0,)
        outcome.moments = np.zeros((*outcome.returns.shape, *moments_shape)) if watched else None
        chunk = COMPILED_CHUNK if self.compile and not sampled else CHUNK
        noise = ActionNoise(self._head, slots, chunk) if sampled else None
        queue = iter(self.group.claim(outcome.returns.size))
        share = ceil(outcome.returns.size / self.group.size)  # leave the other processes theirs
        pairs, started = np.full(slots, -1), np.zeros(slots, np.int64)  # what plays in each slot, or -1, and since when
        lanes = Lanes(
            state=tuple(number[:1].repeat(slots) for number in first),
            totals=torch.zeros(slots, dtype=self._stepper.state_dtype),
            lengths=torch.zeros(slots, dtype=torch.int64),
            alive=torch.zeros(slots, dtype=torch.bool),
            fault=torch.zeros(slots, dtype=torch.int64),
            moments=torch.zeros((slots, *moments_shape), dtype=torch.float64),
        )
        step = self._stepper.function(watched=watched, sampled=sampled)
        tick = busy = 0
        while True:
            free = np.flatnonzero(~lanes.alive.numpy())
            ended = free[pairs[free] >= 0]
            busy += self._enter(outcome, seeds, pairs[ended], lanes, ended)
            if recording is not None:
                for slot in ended[lanes.fault.numpy()[ended] == 0]:
                    begin = int(started[slot])
                    recording.keep(int(pairs[slot]), int(slot), begin, begin + int(lanes.lengths[slot]))
            numbers = np.array(list(islice(queue, len(free) if tick else min(slots, share))), np.int64)
            begun = free[: len(numbers)]
            pairs[free] = -1
            if len(begun):
                pairs[begun], started[begun] = numbers, tick
                indices = torch.from_numpy(begun)
                become(indices, torch.from_numpy(numbers // count))
                for number, values in zip(lanes.state, first, strict=True):
                    number[indices] = values[torch.from_numpy(numbers % count)]
                for tensor in (lanes.totals, lanes.lengths, lanes.fault, lanes.moments):
                    tensor[indices] = 0
                lanes.alive[indices] = True
                if noise is not None:
                    for slot, number in zip(begun, numbers, strict=True):
                        noise.restart(slot, int(seeds[number % count]))
            if not lanes.alive.any():
                break
            now = time.monotonic()
            lanes, steps = step(lanes, chunk, normalization, *(() if noise is None else (noise.next(),)))
            if self.compile and not self.compile_seconds:
                self.compile_seconds = time.monotonic() - now
            if recording is not None:
                for each in steps:
                    recording.before(each.seen.numpy(), each.choices.numpy())
                    recording.after(each.rewards.numpy())
            tick += chunk
        outcome.slot_utilisation = busy / max(1, tick * slots)

    def _enter(self, outcome: Outcome, seeds: Sequence[int], pairs: Array, lanes: Lanes, ended: Array) -> int:
        """Enter episodes that ended, by the numbers of their pairs (n,), played in slots `ended` (n,); their steps."""
        lengths, fault = lanes.lengths.numpy()[ended], lanes.fault.numpy()[ended]
        moments = None if outcome.moments is None else lanes.moments.numpy()[ended]
        outcome.enter(pairs, lengths, lanes.totals.numpy()[ended], moments)
        for index in np.flatnonzero(fault):
            candidate, episode = divmod(int(pairs[index]), len(seeds))
            outcome.fail(Episode(candidate, episode, seeds), int(lengths[index]), FAULTS[fault[index]])
        return int(lengths.sum())

    def _normalization(self) -> Normalization | None:
        """Of this call of play."""
        normalizer = self.policy.normalizer
        if normalizer is None:
            return None
        limit = torch.tensor(LIMIT if normalizer.count else torch.inf, dtype=self._dtype)
        return Normalization(normalizer.mean, normalizer.mean.to(self._dtype), normalizer.std.to(self._dtype), limit)


def make_rollout(
    environment: Environment,
    policy: Policy,
    *,
    sampled: bool = False,
    group: Group = ALONE,
    compile: bool = False,
) -> Rollout:
    """What plays a policy in an environment: a :class:`TensorRollout` where it is one on tensors."""
    if environment.tensor_env is not None:
        return TensorRollout(environment, policy, sampled=sampled, group=group, compile=compile)
    return Rollout(environment, policy, sampled=sampled, group=group)
