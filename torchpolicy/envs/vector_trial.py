"""A vector environment tried out before training: do its first steps work, and is each episode that of its seed?"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, blaming
from torchpolicy.envs.base import RUNAWAY_STEPS
from torchpolicy.envs.vector_slots import Kind, VectorSlots
from torchpolicy.envs.vector_supply import GymVector, Supply
from torchpolicy.policies.parts.encoders import Encoder

TRIED = 10
"""Steps of the episodes that are compared."""

LATE = 2
"""Steps after which the second of two episodes begins, so that a reset by mask that touches others is noticed."""


class Trial:
    """Plays a few steps of a vector environment.

    Args:
        name: What to call it.
        env: The vector environment.
        encoder: Checks its observations.
        action_space: The space of one sub-environment's actions.
    """

    def __init__(self, name: str, env: GymVector, encoder: Encoder, action_space: Space[Any]) -> None:
        self._name, self._env, self._encoder = name, env, encoder
        space = deepcopy(action_space)
        space.seed(0)
        self._script = [space.sample() for _ in range(TRIED)]
        self._supply = Supply(env)

    @property
    def lost(self) -> bool:
        """Whether it went wrong on the way, so that nobody should play in it."""
        return self._supply.lost

    def find_out(self, kind: Kind) -> tuple[Kind, Array]:
        """Find out where its tensors are, and whether each sub-environment takes a seed of its own.

        Args:
            kind: What it says of itself.

        Returns:
            The kind, and the first observation (*O) of its first sub-environment.

        Raises:
            ValueError: If its first steps fail, or it cannot be reset by mask though it never resets by itself.
        """
        with blaming(f"{self._name}: reset(seed=0) failed"):
            answer = self._env.reset(seed=0)
        observations = answer[0] if isinstance(answer, tuple) and answer else None
        kind = kind._replace(device=observations.device if isinstance(observations, Tensor) else None)
        if kind.masked:
            kind = kind._replace(seeded=self._takes_seeds(kind.width))
        first = self._try_first_step(self._slots(kind), kind.width)
        return kind._replace(seeded=kind.seeded and self._honours_seeds(kind)), first

    def _slots(self, kind: Kind) -> VectorSlots:
        """The sub-environments as slots, in numbers as exact as they come."""
        dtype = torch.empty(0, dtype=self._encoder.observation_dtype or torch.float64).numpy().dtype
        return VectorSlots(self._supply, kind, self._encoder, RUNAWAY_STEPS, kind.width, dtype)

    def _try_first_step(self, slots: VectorSlots, width: int) -> Array:
        """The first observation (*O) in the first slot.

        Raises:
            ValueError: If the reset or the first step fails in all slots.
        """
        started, failed = slots.begin(dict.fromkeys(range(width), 0), alone=True)
        first: Array = np.array(slots.observations[0])
        failed |= slots.step(started, np.stack([self._script[0]] * width))[1]
        if len(failed) == width:
            reason = failed[0].splitlines()[0]
            raise ValueError(f"{self._name} fails at its first steps, under valid actions: {reason}")
        return first

    def _takes_seeds(self, width: int) -> bool:
        """Whether a reset by mask takes a list of seeds.

        Raises:
            ValueError: If there is no reset by mask.
        """

        def reset(**settings: Any) -> None:
            self._env.reset(**settings, options={"reset_mask": np.ones(width, bool)})

        try:
            reset(seed=[0] * width)
        except STOPS:
            raise
        except BaseException:
            with blaming(f"{self._name} has autoreset_mode DISABLED, and reset(options={{'reset_mask': …}}) failed"):
                reset()
            return False
        return True

    def _honours_seeds(self, kind: Kind) -> bool:
        """Whether an episode is the same in the first and the last slot, in a used one, and beside others."""
        slots, last = self._slots(kind), kind.width - 1
        alone = self._play(slots, {0: 1}).get(0)
        if last == 0:
            self._play(slots, {0: 2})
            return alone == self._play(slots, {0: 1}).get(0)
        beside = self._play(slots, {0: 2}, later={last: 1})
        again = self._play(slots, {0: 1}, later={last: 2})
        return alone == beside.get(last) == again.get(0) and beside.get(0) == again.get(last)

    def _play(
        self, slots: VectorSlots, seeds: Mapping[int, int], later: Mapping[int, int] | None = None
    ) -> dict[int, list[str]]:
        """What there was to see, by slot, in episodes that begin at once, and in others that begin a little later."""
        traces: dict[int, list[str]] = {}
        live: list[int] = []
        actions = np.stack([self._script[0]] * len(slots.rewards))
        for time in range(TRIED + LATE):
            for slot in slots.begin({0: seeds, LATE: later or {}}.get(time, {}), alone=not live)[0]:
                traces[slot] = [str(slots.observations[slot].tolist())]
                live = sorted([*live, slot])
            for slot in live:
                actions[slot] = self._script[len(traces[slot]) - 1]
            ended, failed = slots.step(live, actions)
            for slot in live:
                seen = slots.observations[slot].tolist(), float(slots.rewards[slot]), slot in ended, slot in failed
                traces[slot].append(str(seen))
            live = [s for s in live if s not in ended and s not in failed and len(traces[s]) <= TRIED]
        return traces
