"""What the rest of the package knows of an environment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from torchpolicy.base.activity import Activity
from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import TensorEnv

RUNAWAY_STEPS = 100_000
"""Steps after which an episode is truncated if no other time limit is known."""


class EnvSlots(ABC):
    """S environments side by side, each playing an episode of its own.

    Attributes:
        observations: (S, *O), row s the latest of slot s. A tensor if the simulator keeps its own on a device where the
            network is, too; :meth:`step` then takes actions as a tensor from there.
        rewards: (S,) float64, of the latest step.
        truncated: (S,) bool, for a slot whose episode has just ended whether it was cut off, and not terminated.
        activity: What this process is doing; whoever steps slots one by one writes there which one it is at.
    """

    observations: Array | Tensor
    rewards: Array
    truncated: Array
    activity = Activity()

    def clear(self) -> None:  # noqa: B027 - most environments have nothing to do
        """Take in that no episode goes on, because a new round of episodes is about to begin."""

    def begin(self, seeds: Mapping[int, int], *, alone: bool) -> tuple[list[int], dict[int, str]]:
        """Start an episode in each of these slots that can begin now; the others are to be asked for again later.

        Args:
            seeds: {slot: seed of its next episode}, for slots without an episode in progress.
            alone: Whether no slot has an episode in progress, so that all environments may be reset at once.

        Returns:
            The slots whose episode has started, and those whose episode failed to start, with the reason.
        """
        reasons = {slot: self.reset(slot, seed) for slot, seed in seeds.items()}
        failed = {slot: reason for slot, reason in reasons.items() if reason is not None}
        return [slot for slot in seeds if slot not in failed], failed

    @abstractmethod
    def reset(self, slot: int, seed: int) -> str | None:
        """Start the episode of `seed` in a slot.

        The episode that follows is a pure function of `seed` and the actions, whatever was played
        in the slot before.

        Returns:
            Why it failed to start; None if it did start.
        """

    @abstractmethod
    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        """Step the environments of `slots`, and no others.

        Args:
            slots: Slots with an episode in progress, in ascending order.
            actions: (S, …), one for each slot; only those of `slots` are read.

        Returns:
            The slots whose episode ended with this step, terminated or truncated, in ascending order, and those
            whose environment failed, with the reason.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the environments."""


MakeSlots = Callable[[int, np.dtype[Any]], EnvSlots]
"""(Number of slots, dtype of observations) -> slots."""


MakeTensorSlots = Callable[[int, torch.dtype], EnvSlots]
"""(Number of slots, dtype of observations) -> slots whose observations and actions are tensors."""


@dataclass(frozen=True)
class Environment:
    """An environment that episodes can be played in.

    Attributes:
        name: Its name, for people, folders and ``config.json``.
        observation_space: The space of its observations.
        action_space: The space of its actions.
        reward_threshold: The return at which it counts as solved; None if it has none.
        time_limit: Steps after which an episode is truncated; None if no limit is known.
        make_slots: (number of slots, dtype of observations) -> slots; refuses if the environment is on tensors.
        backend: ``"native"`` if this package steps it itself, on tensors or in shared MuJoCo slots; ``"gymnasium"`` if
            Gymnasium does, one by one; ``"vector"`` or ``"envpool"`` if it is a vector environment.
        make_tensor_slots: The same for a simulator whose observations are tensors, which stay on its device; otherwise
            None.
        device: The device of those tensors.
        tensor_env: The environment itself if it is on tensors; otherwise None.
        first_observation: (*O), the first observation of an episode; None if the environment is on tensors.
        note: A line for the user about how it is stepped; empty if there is nothing to say.
        width: N, the number of sub-environments of a vector environment, which are all the slots that there are; None
            where there are as many slots as are wanted.
        seeded: Whether an episode begins as its seed says, in any slot.
        stoppable: Whether a slot can leave an episode before its end, and begin another at once.
        release: Closes what was made to look at, and is kept for whoever plays first.
        is_object: Whether it is an object of the user's, a simulator of which there is no other.
    """

    name: str
    observation_space: Space[Any]
    action_space: Space[Any]
    reward_threshold: float | None
    time_limit: int | None
    make_slots: MakeSlots
    backend: str
    make_tensor_slots: MakeTensorSlots | None = None
    device: torch.device | None = None
    tensor_env: TensorEnv | None = None
    first_observation: Array | None = None
    note: str = ""
    width: int | None = None
    seeded: bool = True
    stoppable: bool = True
    release: Callable[[], None] = lambda: None
    is_object: bool = False

    @property
    def on_tensors(self) -> bool:
        """Whether its episodes are stepped all together, on tensors, and not one by one."""
        return self.tensor_env is not None

    @property
    def spaces(self) -> tuple[Space[Any], Space[Any]]:
        """The space of observations and that of actions."""
        return self.observation_space, self.action_space
