"""Environments as pure functions on tensors, many at once."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from torchpolicy.base.types import Array

Row = tuple[Tensor, ...]
"""Numbers of S environments, each a tensor (S,)."""


class TensorEnv(ABC):
    """S environments side by side, in the shape of ``gymnasium.experimental.functional.FuncEnv``.

    A state is a tuple of K tensors (S,), one for each of its numbers, so that ``position, velocity = state``
    takes it apart; a vector that is observed is a tuple of tensors (S,), too. Written so, a compiler makes one
    loop over the slots of it all. What is random goes into the first state. For a run on a GPU, make new tensors like
    those of the state (``state[0].new_zeros(...)``), which are there.

    Example::

        class Follow(tp.TensorEnv):
            \"\"\"Stay close to a target: move by the action, pay the distance.\"\"\"

            observation_space = Box(-np.inf, np.inf, (2,))
            action_space = Box(-1, 1, (1,))
            time_limit = 50

            def initial(self, rng):
                return np.array([0.0, rng.normal()])

            def transition(self, state, action):
                place, target = state
                return place + action[:, 0], target

            def observation(self, state):
                return state

            def reward(self, state, action, next_state):
                place, target = next_state
                return -(place - target).abs()

    Attributes:
        observation_space: Of one environment.
        action_space: Of one environment.
        time_limit: Steps after which an episode is truncated.
        reward_threshold: The return at which it counts as solved, if it has one.
        gymnasium_id: Of the environment that this is a twin of.
        bit_equal: Whether returns are that one's to the last bit; a test has to show it.
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    time_limit: int
    reward_threshold: float | None = None
    gymnasium_id: ClassVar[str | None] = None
    bit_equal: ClassVar[bool] = False

    @abstractmethod
    def initial(self, rng: np.random.Generator) -> Array:
        """First state (K,) of an episode, float64."""

    @abstractmethod
    def transition(self, state: Row, action: Tensor) -> Row:
        """Next states after actions (S,) or (S, *A)."""

    @abstractmethod
    def observation(self, state: Row) -> Row | Tensor:
        """What is seen: a vector as a tuple of its numbers, each (S,); anything else as (S, *O)."""

    @abstractmethod
    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        """Rewards (S,) of steps from states to next states."""

    def terminal(self, state: Row) -> Tensor:
        """Whether the episode ends in states, (S,) bool. By default never, but for the time limit."""
        return torch.zeros_like(state[0], dtype=torch.bool)


def cos(angle: Tensor) -> Tensor:
    """Cosine, to the last bit as Gymnasium's where that can be: torch's own differs from NumPy's in one of 1,000."""
    return angle.cos() if _is_fast(angle) else torch.from_numpy(np.cos(angle.numpy()))


def sin(angle: Tensor) -> Tensor:
    """Sine, likewise."""
    return angle.sin() if _is_fast(angle) else torch.from_numpy(np.sin(angle.numpy()))


def square(number: Tensor) -> Tensor:
    """The square of what Gymnasium has as a NumPy scalar, and raises to 2: not always the product's last bit."""
    return number.square() if _is_fast(number) else torch.from_numpy(np.float_power(number.numpy(), 2))


def _is_fast(number: Tensor) -> bool:
    return torch.compiler.is_compiling() or number.device.type != "cpu" or number.dtype != torch.float64
