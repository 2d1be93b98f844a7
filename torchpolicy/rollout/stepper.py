"""What the slots of a rollout on tensors are at, and how they go on: for a compiler as well."""

from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchpolicy.envs.tensor import Row, TensorEnv
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.members import Members, is_narrow
from torchpolicy.vectors.params import ParamVector

FAULTS = ("", "output of the network is not finite", "state or sum of rewards is not finite")
"""Why an episode failed, by its number."""

COMPILER: dict[str, str | int | bool | Callable[..., Any]] = {
    "cpp.enable_floating_point_contract_flag": "fast",
    "cpp.enable_unsafe_math_opt_flag": True,
}
"""Lets the compiler fuse products with sums, and divide by constants by multiplication: 1.5 times as fast. What is
not finite stays so."""


CHUNK, COMPILED_CHUNK = 4, 8
"""Steps between looks at which slots have ended. A compiled loop of more runs out of registers."""

LONGEST = 1500
"""Calls of torch in a compiled graph, about: longer ones take minutes to compile."""


class Lanes(NamedTuple):
    """What the slots are at. Its tensors but the moments are the rows of one table, (K + 4, S), of float32 or float64.

    `alive` and the rest are numbers as well: a loop over the slots that carries whole numbers or truth values from
    step to step is compiled to one of half the speed.

    Attributes:
        state: K numbers (S,), of the environments.
        totals: (S,), rewards so far.
        lengths: (S,), steps so far.
        alive: (S,), 1 while an episode is in progress, then 0.
        fault: (S,), into `FAULTS`.
        moments: (S, 2, *input_shape) float64, sums for the normaliser; (S, 0) where nobody asked.
    """

    state: Row
    totals: Tensor
    lengths: Tensor
    alive: Tensor
    fault: Tensor
    moments: Tensor

    @classmethod
    def of(cls, table: Tensor, moments: Tensor) -> Self:
        """Those of a table."""
        *state, totals, lengths, alive, fault = table.unbind()
        return cls(tuple(state), totals, lengths, alive, fault, moments)

    @staticmethod
    def beginning(states: Tensor) -> Tensor:
        """The table (K + 4, E) of episodes that begin in states (K, E)."""
        fresh = states.new_zeros(len(states) + 4, states.shape[1])
        fresh[:-4], fresh[-2] = states, 1
        return fresh


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


StepFunction = Callable[..., list[Step]]


class Stepper:
    """Steps all slots together: observation, network, action, environment, rewards.

    Args:
        env: Which they are in.
        policy: Whose encoder and head they use.
        vector: The parameters of its network.
        slots: S.
        limit: Steps after which an episode is truncated.
        compile: Whether to step in float32 and compiled.
        noise_rank: Of the populations that will play, if they are of a low one.

    Attributes:
        members: The network of each slot.
        state_dtype: Of states, totals and rewards.
    """

    def __init__(
        self,
        env: TensorEnv,
        policy: Policy,
        vector: ParamVector,
        slots: int,
        limit: int,
        *,
        compile: bool,
        noise_rank: int | None = None,
    ) -> None:
        self._env, self._encoder, self._head, self._dtype = env, policy.encoder, policy.head, policy.dtype
        self._slots, self._limit, self._compile, self._device = slots, limit, compile, policy.device
        self.state_dtype = torch.float32 if compile else torch.float64
        self._ready: dict[str, tuple[StepFunction, int]] = {}
        vector_seen = len(self._encoder.observation_shape) == 1 and self._encoder.observation_dtype is None
        self._narrow = compile and vector_seen and is_narrow(policy.net) and noise_rank is None
        self.members = Members(policy.net, vector, slots, members_last=self._narrow, noise_rank=noise_rank)
        self._seen_dtype = torch.from_numpy(np.empty(0, env.observation_space.dtype)).dtype
        self._kept_dtype = policy.encoder.observation_dtype or policy.dtype

    def function(self, *, watched: bool, sampled: bool) -> tuple[StepFunction, int]:
        """What steps all slots, compiled if asked, and number by number where that can be; steps before a look."""
        if not self._compile or sampled:
            return self.steps, CHUNK
        return self._compiled("steps" if watched or not self._narrow else "narrow_steps")

    def _compiled(self, method: str) -> tuple[StepFunction, int]:
        if method in self._ready:
            return self._ready[method]
        function = getattr(self, method)
        state = torch.from_numpy(self._env.initial(np.random.default_rng(0))).to(self._device, self.state_dtype)
        table = Lanes.beginning(state.unsqueeze(1)).repeat(1, self._slots)
        lanes = Lanes.of(table, table.new_zeros(self._slots, 0))
        with _Count() as counted:
            function(lanes, 1, None)
        chunk = max(1, min(COMPILED_CHUNK, LONGEST // counted.calls))
        function = with_own_code(function)
        self._ready[method] = torch.compile(function, dynamic=False, options=COMPILER), chunk
        return self._ready[method]

    def steps(
        self, lanes: Lanes, steps: int, normalization: Normalization | None, noise: Tensor | None = None
    ) -> list[Step]:
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
        if normalization is not None:
            lanes.moments.copy_(moments)
        self._enter(lanes, state, totals, lengths, alive, output.isfinite().all(1))
        return taken

    def narrow_steps(self, lanes: Lanes, steps: int, normalization: Normalization | None) -> list[Step]:
        """The same, number by number, for a compiler to make one loop over the slots of it."""
        state, totals, lengths, alive, *_ = lanes
        for _ in range(steps):
            inputs = tuple(self._env.observation(state))
            if normalization is not None:
                _, mean, std, limit = normalization
                inputs = tuple(((x - mean[i]) / std[i]).clamp(-limit, limit) for i, x in enumerate(inputs))
            output = self.members.numbers(inputs)
            choices = self._head.choose_numbers(output)
            state, totals, lengths, alive, _ = self._go(state, totals, lengths, alive, choices)
        sound = torch.ones_like(alive, dtype=torch.bool)
        for number in output:
            sound = sound & number.isfinite()
        self._enter(lanes, state, totals, lengths, alive, sound)
        return []

    def _go(
        self, state: Row, totals: Tensor, lengths: Tensor, alive: Tensor, choices: Tensor
    ) -> tuple[Row, Tensor, Tensor, Tensor, Tensor]:
        """One step of the environments whose episode goes on, and what it brought."""
        actions = self._head.to_actions(choices)
        after = self._env.transition(state, actions)
        live = alive > 0
        rewards = torch.where(live, self._env.reward(state, actions, after), 0.0)
        state = tuple(torch.where(live, new, old) for new, old in zip(after, state, strict=True))
        lengths = lengths + alive
        ended = self._env.terminal(after) | (lengths >= self._limit)
        return state, totals + rewards, lengths, torch.where(ended, 0.0, alive), rewards

    @staticmethod
    def _enter(lanes: Lanes, state: Row, totals: Tensor, lengths: Tensor, alive: Tensor, sound: Tensor) -> None:
        """Where all slots are now, and whether all is finite. Seldom enough: what once was not, stays so."""
        whole = totals.isfinite()
        for number in state:
            whole = whole & number.isfinite()
        fault = torch.where(whole, torch.where(sound, 0.0, 1.0), 2.0)
        now = (*state, totals, lengths, torch.where(fault > 0, 0.0, alive), fault)
        for old, new in zip((*lanes.state, *lanes[1:5]), now, strict=True):
            old.copy_(new)

    def _see(self, state: Row) -> Tensor:
        """What the policy is shown, (S, *O), in the dtype that it has in Gymnasium, then in the policy's."""
        seen = self._env.observation(state)
        together = torch.stack(seen, 1) if isinstance(seen, tuple) else seen
        return together.to(self._seen_dtype).to(self._kept_dtype)


def with_own_code(method: Any) -> Any:
    """The same bound method with a copy of its code.

    The compiler keeps and counts what it has compiled by code, and gives up after a few times (`recompile_limit`). With
    one code for all steppers of a process it would give up after a few steppers.
    """
    own = method.__func__
    copy = FunctionType(own.__code__.replace(), own.__globals__, own.__name__, own.__defaults__, own.__closure__)
    return MethodType(copy, method.__self__)


class _Count(TorchFunctionMode):
    """Counts calls of torch."""

    calls = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return function(*args, **(kwargs or {}))
