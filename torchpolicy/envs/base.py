"""What the rest of the package knows of an environment."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Space

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import TensorEnv

RUNAWAY_STEPS = 100_000
"""Where an episode is cut off, as by a time limit, if no limit is known that ends it."""


class EnvSlots(ABC):
    """S environments side by side, each playing an episode of its own.

    Attributes:
        observations: (S, *O), row s the latest of slot s.
        rewards: (S,) float64, of the latest step.
        truncated: (S,) bool, of a slot whose episode has just ended: whether it was cut off, and not terminated.
    """

    observations: Array
    rewards: Array
    truncated: Array

    @abstractmethod
    def reset(self, slot: int, seed: int) -> str | None:
        """Start the episode of `seed` in a slot; why it failed to start, if it did.

        The episode that follows is a pure function of `seed` and the actions, whatever was played
        in the slot before.
        """

    @abstractmethod
    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        """Step the environments of `slots`, and no others.

        Args:
            slots: Those with an episode in progress.
            actions: (S, …), one for each slot; only those of `slots` are read.

        Returns:
            The slots whose episode ended with this step, terminated or truncated, and those whose
            environment failed, with the reason.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the environments."""


@dataclass(frozen=True)
class Environment:
    """An environment that episodes can be played in.

    Attributes:
        name: For people, folders and ``config.json``.
        observation_space: Of one environment.
        action_space: Of one environment.
        reward_threshold: The return at which it counts as solved, if it has one.
        time_limit: Steps after which an episode is truncated; None where nothing is known to end it.
        make_slots: (number of slots, dtype of observations) -> slots; refuses to for an environment on tensors.
        tensor_env: The environment itself, where it is one on tensors.
        first_observation: (*O), of an episode; None for an environment on tensors.
    """

    name: str
    observation_space: Space[Any]
    action_space: Space[Any]
    reward_threshold: float | None
    time_limit: int | None
    make_slots: Callable[[int, np.dtype[Any]], EnvSlots]
    tensor_env: TensorEnv | None = None
    first_observation: Array | None = None

    @property
    def on_tensors(self) -> bool:
        """Whether all its episodes are stepped together, as pure functions on tensors, and not one by one."""
        return self.tensor_env is not None

    @property
    def backend(self) -> str:
        """What it runs on: ``native``, which is on tensors, or ``gymnasium``."""
        return "native" if self.on_tensors else "gymnasium"

    @property
    def spaces(self) -> tuple[Space[Any], Space[Any]]:
        """Of observations and actions."""
        return self.observation_space, self.action_space
