"""What the slots of a rollout on tensors are at, and how they go on: pure functions, for a compiler as well."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchpolicy.envs.tensor import Row, TensorEnv
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.population import Population, is_narrow

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


class Step(NamedTuple):
    """A sampled step of all slots: what was seen (S, *O), chosen (S, *choice_shape), and earned (S,)."""

    seen: Tensor
    choices: Tensor
    rewards: Tensor


StepFunction = Callable[..., tuple[Lanes, list[Step]]]


class Stepper:
    """Steps all slots together: observation, network, action, environment, rewards.

    Args:
        env: Which they are in.
        policy: Whose encoder and head they use.
        vector: The parameters of its network.
        slots: S.
        limit: Steps after which an episode is truncated.
        compile: Whether to step in float32 and compiled.

    Attributes:
        members: The network of each slot.
        state_dtype: Of states, totals and rewards.
    """

    def __init__(
        self, env: TensorEnv, policy: Policy, vector: ParamVector, slots: int, limit: int, *, compile: bool
    ) -> None:
        self._env, self._encoder, self._head, self._dtype = env, policy.encoder, policy.head, policy.dtype
        self._limit, self._compile = limit, compile
        self.state_dtype = torch.float32 if compile else torch.float64
        vector_seen = len(self._encoder.observation_shape) == 1 and self._encoder.observation_dtype is None
        self._narrow = compile and vector_seen and is_narrow(policy.net)
        self.members = Population(policy.net, vector, slots, members_last=self._narrow)
        self._seen_dtype = torch.from_numpy(np.empty(0, env.observation_space.dtype)).dtype
        self._kept_dtype = policy.encoder.observation_dtype or policy.dtype

    def function(self, *, watched: bool, sampled: bool) -> StepFunction:
        """What steps all slots: as it is or compiled, and then number by number where that can be."""
        if not self._compile or sampled:
            return self.steps
        if watched or not self._narrow:
            return self._compiled("steps")
        return self._compiled("narrow_steps")

    @cache  # noqa: B019 - lives as long as the rollout
    def _compiled(self, method: str) -> StepFunction:
        return torch.compile(getattr(self, method), dynamic=False)

    def steps(
        self, lanes: Lanes, steps: int, normalization: Normalization | None, noise: Tensor | None = None
    ) -> tuple[Lanes, list[Step]]:
        """Several steps of all slots, with noise (steps, S, noise_size); those whose episode has ended stay."""
        head = self._head
        state, totals, lengths, alive, _, moments = lanes
        taken = []
        for t in range(steps):
            seen = self._see(state)
            inputs = self._encoder.forward(seen).to(self._dtype)
            if normalization is not None:
                if moments.ndim > 2:
                    deviations = inputs - normalization.center
                    both = torch.stack([deviations, deviations.square()], 1)
                    moments = moments + both * alive.view(-1, *[1] * (both.ndim - 1))
                limit = normalization.limit
                inputs = ((inputs - normalization.mean) / normalization.std).clamp(-limit, limit)
            output = self.members(inputs.unsqueeze(1)).squeeze(1)
            choices = head.choose(output, None if noise is None else noise[t])
            state, totals, lengths, alive, rewards = self._go(state, totals, lengths, alive, choices)
            if noise is not None:
                taken.append(Step(seen, choices, rewards))
        return self._judged(state, totals, lengths, alive, output.isfinite().all(1), moments), taken

    def narrow_steps(self, lanes: Lanes, steps: int, normalization: Normalization | None) -> tuple[Lanes, list[Step]]:
        """The same, number by number, for a compiler to make one loop over the slots of it."""
        state, totals, lengths, alive, _, moments = lanes
        for _ in range(steps):
            inputs = tuple(self._env.observation(state))
            if normalization is not None:
                _, mean, std, limit = normalization
                inputs = tuple(((x - mean[i]) / std[i]).clamp(-limit, limit) for i, x in enumerate(inputs))
            output = self.members.numbers(inputs)
            choices = self._head.choose_numbers(output)
            state, totals, lengths, alive, _ = self._go(state, totals, lengths, alive, choices)
        sound = torch.ones_like(alive)
        for number in output:
            sound = sound & number.isfinite()
        return self._judged(state, totals, lengths, alive, sound, moments), []

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
