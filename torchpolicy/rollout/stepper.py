"""State and step of all parallel tensor episodes; compilable."""

from collections.abc import Callable
from time import perf_counter
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torchpolicy.envs.tensor import Row, TensorEnv
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.normalizer import Normalization
from torchpolicy.policies.parts.pipeline import Pipeline
from torchpolicy.rollout.members import Members, is_narrow
from torchpolicy.rollout.memory import make_memory
from torchpolicy.rollout.slot_table import SlotTable, parts_of
from torchpolicy.vectors.params import ParamVector

FAULTS = ("", "output of the network is not finite", "state or sum of rewards is not finite")
"""Why an episode failed, by its number."""

COMPILER: dict[str, str | int | bool | Callable[..., Any]] = {
    "cpp.enable_floating_point_contract_flag": "fast",
    "cpp.enable_unsafe_math_opt_flag": True,
}
"""Lets the compiler fuse products with sums, and multiply by the inverse of a constant instead of dividing by it: 1.5
times as fast. A NaN or infinity persists."""


CHUNK, COMPILED_CHUNK = 4, 8
"""Steps after which slots are looked at for episodes that have ended. A longer compiled loop runs out of registers."""

LONGEST = 1500
"""Calls of torch in a compiled graph, about: a longer one takes minutes to compile."""


class Step(NamedTuple):
    """A sampled step of all slots: what was observed (S, *O), chosen (S, *choice_shape), and earned (S,)."""

    observations: Tensor
    choices: Tensor
    rewards: Tensor


StepFunction = Callable[..., list[Step]]


class Stepper:
    """Steps all slots together: observation, network, action, environment, rewards.

    Args:
        env: The environment.
        policy: The policy, whose encoder and head all slots share.
        vector: The parameters of the policy's network.
        slots: S, the number of slots.
        limit: Steps after which an episode is truncated.
        compile: Whether to step in float32 and compiled.
        noise_rank: The rank of the populations that will play; None unless it is low.

    Attributes:
        env: The environment.
        members: The networks of all slots.
        memory: What they remember.
        state_dtype: The dtype of states, totals and rewards.
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
        self.env, self._head = env, policy.head
        self._slots, self._limit, self._compile, self._device = slots, limit, compile, policy.device
        self.state_dtype = torch.float32 if compile else torch.float64
        self._ready: dict[str, tuple[_Compiled, int]] = {}
        encoder = policy.encoder
        sees_a_vector = len(encoder.observation_shape) == 1 and encoder.observation_dtype is None
        self._narrow = compile and sees_a_vector and is_narrow(policy.net) and noise_rank is None
        self.members = Members(policy.net, vector, slots, members_last=self._narrow, noise_rank=noise_rank)
        self.memory = make_memory(policy.net, slots)
        self._pipeline = Pipeline(encoder, self.memory.network(self.members), policy.head, policy.dtype)
        self._env_dtype = torch.from_numpy(np.empty(0, env.observation_space.dtype)).dtype
        self._kept_dtype = policy.observation_dtype

    def function(self, *, watched: bool, sampled: bool) -> tuple[StepFunction, int]:
        """The function that steps all slots, and the number of steps to ask it for at a time.

        Args:
            watched: Whether it will be asked for moments.
            sampled: Whether it will be given noise; then it is not compiled.
        """
        if not self._compile or sampled:
            return self.steps, CHUNK
        return self._compiled("steps" if watched or not self._narrow else "narrow_steps")

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling has taken."""
        return sum(function.seconds for function, _ in self._ready.values())

    def _compiled(self, method: str) -> tuple[StepFunction, int]:
        """A method, compiled, and the number of steps in its graph."""
        if method in self._ready:
            return self._ready[method]
        function = getattr(self, method)
        state = torch.from_numpy(self.env.initial(np.random.default_rng(0))).to(self._device, self.state_dtype)
        table = SlotTable.beginning(state.unsqueeze(1)).repeat(1, self._slots)
        slots = SlotTable.of(table, table.new_zeros(self._slots, 0), matrix=self.env.matrix_state)
        with _Count() as counted:
            function(slots, 1)
        chunk = max(1, min(COMPILED_CHUNK, LONGEST // counted.calls))
        function = with_own_code(function)
        self._ready[method] = _Compiled(torch.compile(function, dynamic=False, options=COMPILER)), chunk
        return self._ready[method]

    def steps(
        self,
        slots: SlotTable,
        steps: int,
        normalization: Normalization | None = None,
        center: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> list[Step]:
        """Several steps of all slots; those whose episode has ended stay as they are.

        Args:
            slots: The slots, which are stepped in place.
            steps: How many.
            normalization: Normalises the network's inputs.
            center: (*input_shape) float64, what moments are taken around; None to take none.
            noise: (steps, S, noise_size), for sampled actions; None for greedy ones.

        Returns:
            The steps, if actions are sampled.
        """
        now, taken, sound = slots, [], torch.ones_like(slots.alive, dtype=torch.bool)
        for t in range(steps):
            observations = self._observe(now.state)
            inputs = self._pipeline.encode(observations)
            moments = now.moments if center is None else _added(now.moments, inputs - center, now.alive)
            self.memory.alive = now.alive
            output, choices = self._pipeline.choose(inputs, normalization, None if noise is None else noise[t])
            sound = sound & (output.isfinite().all(1) | (now.alive == 0))
            now, rewards = self._advance(now, choices, moments)
            if noise is not None:
                taken.append(Step(observations, choices, rewards))
        if center is not None:
            slots.moments.copy_(now.moments)
        self._store(slots, now, sound)
        return taken

    def narrow_steps(
        self,
        slots: SlotTable,
        steps: int,
        normalization: Normalization | None = None,
        center: None = None,
        noise: None = None,
    ) -> list[Step]:
        """The same without moments and noise, number by number, so that a compiler makes one loop over the slots."""
        now, sound = slots, torch.ones_like(slots.alive, dtype=torch.bool)
        for _ in range(steps):
            inputs = tuple(self.env.observation(now.state))
            if normalization is not None:
                inputs = tuple(normalization.entry(i)(x) for i, x in enumerate(inputs))
            output = self.members.numbers(inputs)
            for number in output:
                sound = sound & (number.isfinite() | (now.alive == 0))
            now, _ = self._advance(now, self._head.choose_numbers(output), now.moments)
        self._store(slots, now, sound)
        return []

    def _advance(self, now: SlotTable, choices: Tensor, moments: Tensor) -> tuple[SlotTable, Tensor]:
        """One step of the environments whose episode goes on: the slots after it, and its rewards (S,)."""
        actions = self._head.to_actions(choices)
        after = self.env.transition(now.state, actions)
        live = now.alive > 0
        rewards = torch.where(live, self.env.reward(now.state, actions, after), 0.0)
        parts = zip(parts_of(after), parts_of(now.state), strict=True)
        state = tuple(torch.where(live, new, old) for new, old in parts)
        lengths = now.lengths + now.alive
        ended = self.env.terminal(after) | (lengths >= self._limit)
        alive = torch.where(ended, 0.0, now.alive)
        return SlotTable(
            state[0] if self.env.matrix_state else state, now.totals + rewards, lengths, alive, now.fault, moments
        ), rewards

    @staticmethod
    def _store(slots: SlotTable, now: SlotTable, sound: Tensor) -> None:
        """Put all slots where they are now; end those that are not finite.

        Args:
            slots: Where to put them.
            now: Where they are. A state or a total that was not finite still is not.
            sound: (S,) bool, whether the network's outputs were finite while the episode went on.
        """
        whole = now.totals.isfinite()
        for part in parts_of(now.state):
            whole = whole & (part.isfinite() if part.ndim == 1 else part.isfinite().all(0))
        fault = torch.where(whole, torch.where(sound, slots.fault, 1.0), 2.0)
        for old, new in zip(parts_of(slots.state), parts_of(now.state), strict=True):
            old.copy_(new)
        slots.totals.copy_(now.totals)
        slots.lengths.copy_(now.lengths)
        slots.alive.copy_(torch.where(fault > 0, 0.0, now.alive))
        slots.fault.copy_(fault)

    def _observe(self, state: Row) -> Tensor:
        """Observations (S, *O) as they are kept, rounded first to the dtype of the environment's space."""
        observed = self.env.observation(state)
        together = torch.stack(observed, 1) if isinstance(observed, tuple) else observed
        return together.to(self._env_dtype).to(self._kept_dtype)


def _added(moments: Tensor, deviations: Tensor, alive: Tensor) -> Tensor:
    """Moments (S, 2, *input_shape) and, of slots alive (S,), the deviations (S, *input_shape) and their squares."""
    both = torch.stack([deviations, deviations.square()], 1)
    return moments + both * alive.view(-1, *[1] * (both.ndim - 1))


class _Compiled:
    """A function whose first call compiles it.

    Attributes:
        seconds: What the first call took.
    """

    def __init__(self, function: StepFunction) -> None:
        self._function, self.seconds = function, 0.0

    def __call__(self, *arguments: Any) -> list[Step]:
        if self.seconds:
            return self._function(*arguments)
        begin = perf_counter()
        taken = self._function(*arguments)
        torch.set_flush_denormal(False)  # some compilers' libraries turn it on for all the process
        self.seconds = perf_counter() - begin
        return taken


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
