"""Environments as pure functions on tensors: one call steps many of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.random import new_key, uniform

Row = tuple[Tensor, ...]
"""Several numbers of each of S environments: a tuple of tensors (S,)."""


class TensorEnv(ABC):
    """S environments side by side, in the shape of ``gymnasium.experimental.functional.FuncEnv``.

    A state is a tuple of K tensors (S,), one for each of its numbers, so that ``position, velocity = state``
    takes it apart; a vector that is observed is a tuple of tensors (S,), too. A compiler makes one loop over the slots
    of code that is written so. With ``matrix_state = True`` a state is one tensor (K, S) instead, given and returned,
    which is better from some fifty numbers on. An image, or whatever else is no vector, is observed as a tensor
    (S, *O). For a run on a GPU, make new tensors from those of the state, ``state[0].new_zeros(...)``, and they are on
    the GPU, too.

    Random numbers inside an episode come from a key, which is a part of the state: three numbers that :meth:`new_key`
    makes for the first state. :meth:`uniform` draws from it, and returns the key to draw the next numbers from. They
    depend on the episode's seed and on how often was drawn alone, and are the same in any slot, in any number of
    processes, and compiled. Any other source of random numbers breaks all that.

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

    With gusts of wind, it would begin at ``np.array([0.0, rng.normal(), *self.new_key(rng)])`` and go on so::

            def transition(self, state, action):
                place, target, *key = state
                (gust,), key = self.uniform(key, 1)
                return place + action[:, 0] + gust - 0.5, target, *key

    Attributes:
        observation_space: The space of one environment's observations.
        action_space: The space of one environment's actions.
        time_limit: Steps after which an episode is truncated.
        reward_threshold: The return at which it counts as solved; None if it has none.
        gymnasium_id: The Gymnasium id of the environment that this is a twin of; None if it is no twin.
        bit_equal: Whether returns are those of that environment to the last bit; a test has to show it.
        matrix_state: Whether states are one tensor (K, S) instead of a tuple of K tensors (S,).
    """

    observation_space: Space[Any]
    action_space: Space[Any]
    time_limit: int
    reward_threshold: float | None = None
    gymnasium_id: ClassVar[str | None] = None
    bit_equal: ClassVar[bool] = False
    matrix_state: ClassVar[bool] = False

    @abstractmethod
    def initial(self, rng: np.random.Generator) -> Array:
        """The first state (K,) of an episode, float64."""

    @abstractmethod
    def transition(self, state: Row, action: Tensor) -> Row:
        """The next states, after actions (S,) or (S, *A)."""

    @abstractmethod
    def observation(self, state: Row) -> Row | Tensor:
        """Observations: vectors as a tuple of their numbers, each (S,); anything else as (S, *O)."""

    @abstractmethod
    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        """Rewards (S,) of steps from states to next states."""

    def terminal(self, state: Row) -> Tensor:
        """Whether the episode ends in these states, (S,) bool; never by default: only the time limit ends it."""
        return torch.zeros_like(state[0], dtype=torch.bool)

    @staticmethod
    def new_key(rng: np.random.Generator) -> Array:
        """The key (3,) of an episode's random numbers, float64, as a part of its first state."""
        return new_key(rng)

    @staticmethod
    def uniform(key: Sequence[Tensor], count: int) -> tuple[Row, Row]:
        """Random numbers from 0 to below 1, and the key to draw the next ones from.

        Args:
            key: The key, three tensors (S,), as they are in the state. The same key gives the same numbers.
            count: How many numbers to draw for each slot.

        Returns:
            The numbers, each (S,), multiples of 2^-24, and the next key, three tensors (S,).
        """
        return uniform(key, count)


def cos(angle: Tensor) -> Tensor:
    """The cosine, on the CPU in float64 NumPy's to the last bit, as in Gymnasium: torch's differs in one of 1,000."""
    return angle.cos() if _is_fast(angle) else torch.from_numpy(np.cos(angle.numpy()))


def sin(angle: Tensor) -> Tensor:
    """The sine, on the CPU in float64 NumPy's to the last bit."""
    return angle.sin() if _is_fast(angle) else torch.from_numpy(np.sin(angle.numpy()))


def square(number: Tensor) -> Tensor:
    """The square of a number that is a NumPy scalar in Gymnasium, where ``x**2`` is not ``x * x`` to the last bit."""
    return number.square() if _is_fast(number) else torch.from_numpy(np.float_power(number.numpy(), 2))


def _is_fast(number: Tensor) -> bool:
    """Whether to take torch's function, because bits need not be Gymnasium's."""
    return torch.compiler.is_compiling() or number.device.type != "cpu" or number.dtype != torch.float64
