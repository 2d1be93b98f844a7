"""The loop for environments on tensors: all slots step together, and those that ended are refilled between chunks."""

import time
from collections.abc import Callable, Sequence
from itertools import islice
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.utils.seeding import np_random
from torch import Tensor

from torchpolicy.envs.base import Environment
from torchpolicy.envs.tensor import Row, TensorEnv
from torchpolicy.episodes import Episodes, Recording
from torchpolicy.normalizer import LIMIT
from torchpolicy.outcome import Episode, Outcome
from torchpolicy.policies.base import Policy
from torchpolicy.population import Population
from torchpolicy.processes import ALONE, Group
from torchpolicy.rollout import ActionNoise, Index, Rollout
from torchpolicy.spaces import Array

WIDEST = 4096
"""Slots at most, by default."""

CHUNK, COMPILED_CHUNK = 4, 16
"""Steps between looks at which slots have ended."""

FAULTS = ("", "output of the network is not finite", "state or sum of rewards is not finite")
"""Why an episode failed, by its number."""


class Lanes(NamedTuple):
    """What the slots are at.

    Attributes:
        state: K numbers (S,), of the environments.
        totals: (S,), rewards so far.
        lengths: (S,) int64, steps so far.
        alive: (S,) bool, whether an episode is in progress.
        fault: (S,) int64, into `FAULTS`.
        moments: (S, 2, *input_shape) float64, sums for the normaliser; (S, 0) where nobody asked.
    """

    state: Row
    totals: Tensor
    lengths: Tensor
    alive: Tensor
    fault: Tensor
    moments: Tensor


class Normalization(NamedTuple):
    """What a normaliser does in one call of play.

    Attributes:
        center: (*input_shape) float64, which moments are taken around.
        mean: The same in the policy's dtype.
        std: (*input_shape), in the policy's dtype.
        limit: ().
    """

    center: Tensor
    mean: Tensor
    std: Tensor
    limit: Tensor


class Last(NamedTuple):
    """The last of several steps: what was seen (S, *O), chosen (S, *choice_shape), and earned (S,)."""

    seen: Tensor
    choices: Tensor
    rewards: Tensor


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
        self._limit = self.environment.time_limit or self._env.time_limit
        self._seen_dtype = torch.from_numpy(np.empty(0, self.environment.observation_space.dtype)).dtype
        self._kept_dtype = self.policy.encoder.observation_dtype or self._dtype
        self._state_dtype = torch.float32 if self.compile else torch.float64
        vector = len(self._encoder.observation_shape) == 1 and self._encoder.observation_dtype is None
        narrow = self.compile and vector and self._members.narrow
        self._wide = torch.compile(self._step_all, dynamic=False)  # at the first call, if there is one
        self._narrow = torch.compile(self._step_narrow, dynamic=False) if narrow else None
        self._make_members()

    def _widen(self, episodes: int) -> None:
        """Take as many slots as there are episodes for; the same in every process."""
        width = self._widest if self.compile else min(self._widest, 32 * ceil(episodes / 32))
        if width != self.slots:
            self.slots = width
            self._make_members()

    def _make_members(self) -> None:
        """As many as there are slots."""
        self._members = Population(self.policy.net, self._vector, self.slots, members_last=self._narrow is not None)

    def _stepper(self, watched: bool, sampled: bool) -> Callable[..., tuple[Lanes, Last | None]]:
        """What steps all slots: as it is, or compiled, and then number by number where that can be."""
        if not self.compile or sampled:
            return self._step_all
        return self._wide if watched or self._narrow is None else self._narrow

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
        first = torch.from_numpy(starts).to(self._state_dtype).unbind()  # K numbers (E,)
        normalization = self._normalization()
        watched = observe and normalization is not None
        moments_shape = (2, *self._encoder.input_shape) if watched else (0,)
        outcome.moments = np.zeros((*outcome.returns.shape, *moments_shape)) if watched else None
        noise = ActionNoise(self._head, slots) if sampled else None
        chunk = 1 if sampled else COMPILED_CHUNK if self.compile else CHUNK
        queue = iter(self.group.claim(outcome.returns.size))
        share = ceil(outcome.returns.size / self.group.size)  # leave the other processes theirs
        pairs = np.full(slots, -1)  # what plays in each slot, -1 for nothing
        lanes = Lanes(
            state=tuple(number[:1].repeat(slots) for number in first),
            totals=torch.zeros(slots, dtype=self._state_dtype),
            lengths=torch.zeros(slots, dtype=torch.int64),
            alive=torch.zeros(slots, dtype=torch.bool),
            fault=torch.zeros(slots, dtype=torch.int64),
            moments=torch.zeros((slots, *moments_shape), dtype=torch.float64),
        )
        step = self._stepper(watched, sampled)
        tick = busy = 0
        while True:
            free = np.flatnonzero(~lanes.alive.numpy())
            ended = free[pairs[free] >= 0]
            busy += self._enter(outcome, seeds, pairs[ended], lanes, ended)
            if recording is not None:
                for slot in ended[lanes.fault.numpy()[ended] == 0]:
                    recording.keep(int(pairs[slot]), int(slot), tick - int(lanes.lengths[slot]), tick)
            numbers = np.array(list(islice(queue, len(free) if tick else min(slots, share))), np.int64)
            begun = free[: len(numbers)]
            pairs[free] = -1
            if len(begun):
                pairs[begun] = numbers
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
            begin = time.monotonic()
            lanes, last = step(lanes, chunk, normalization, *(() if noise is None else (noise.next(),)))
            if self.compile and not self.compile_seconds:
                self.compile_seconds = time.monotonic() - begin
            if recording is not None and last is not None:
                recording.before(last.seen.numpy(), last.choices.numpy())
                recording.after(last.rewards.numpy())
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

    def _step_all(
        self, lanes: Lanes, steps: int, normalization: Normalization | None, noise: Tensor | None = None
    ) -> tuple[Lanes, Last]:
        """Several steps of all slots; those whose episode has ended stay as they are."""
        head = self._head
        state, totals, lengths, alive, _, moments = lanes
        for _ in range(steps):
            seen = self._see(state)
            inputs = self._encoder.forward(seen).to(self._dtype)
            if normalization is not None:
                if moments.ndim > 2:
                    deviations = inputs - normalization.center
                    both = torch.stack([deviations, deviations.square()], 1)
                    moments = moments + both * alive.view(-1, *[1] * (both.ndim - 1))
                limit = normalization.limit
                inputs = ((inputs - normalization.mean) / normalization.std).clamp(-limit, limit)
            output = self._forward(inputs)
            choices = head.choose(output, noise)
            state, totals, lengths, alive, rewards = self._go(state, totals, lengths, alive, choices)
        lanes = self._judged(state, totals, lengths, alive, output.isfinite().all(1), moments)
        return lanes, Last(seen, choices, rewards)

    def _step_narrow(self, lanes: Lanes, steps: int, normalization: Normalization | None) -> tuple[Lanes, None]:
        """The same, number by number, for a compiler to make one loop over the slots of it."""
        state, totals, lengths, alive, _, moments = lanes
        for _ in range(steps):
            inputs = tuple(self._env.observation(state))
            if normalization is not None:
                _, mean, std, limit = normalization
                inputs = tuple(((x - mean[i]) / std[i]).clamp(-limit, limit) for i, x in enumerate(inputs))
            output = self._members.numbers(inputs)
            choices = self._head.choose_numbers(output)
            state, totals, lengths, alive, _ = self._go(state, totals, lengths, alive, choices)
        sound = torch.ones_like(alive)
        for number in output:
            sound = sound & number.isfinite()
        return self._judged(state, totals, lengths, alive, sound, moments), None

    def _go(
        self, state: Row, totals: Tensor, lengths: Tensor, alive: Tensor, choices: Tensor
    ) -> tuple[Row, Tensor, Tensor, Tensor, Tensor]:
        """One step of the environments whose episode goes on, and what it brought."""
        actions = self._head.to_actions(choices)
        after = self._env.transition(state, actions)
        rewards = torch.where(alive, self._env.reward(state, actions, after), 0.0)
        state = tuple(torch.where(alive, new, old) for new, old in zip(after, state, strict=True))
        lengths = lengths + alive
        goes_on = alive & ~self._env.terminal(after) & (lengths < self._limit)
        return state, totals + rewards, lengths, goes_on, rewards

    @staticmethod
    def _judged(state: Row, totals: Tensor, lengths: Tensor, alive: Tensor, sound: Tensor, moments: Tensor) -> Lanes:
        """Whether all is finite. Seldom enough: what once was not, stays so."""
        whole = totals.isfinite()
        for number in state:
            whole = whole & number.isfinite()
        fault = torch.where(whole, torch.where(sound, 0, 1), 2)
        return Lanes(state, totals, lengths, alive & (fault == 0), fault, moments)

    def _see(self, state: Row) -> Tensor:
        """What the policy is shown, (S, *O), in the dtype that it has in Gymnasium, then in the policy's."""
        seen = self._env.observation(state)
        together = torch.stack(seen, 1) if isinstance(seen, tuple) else seen
        return together.to(self._seen_dtype).to(self._kept_dtype)


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
