"""What simulators return, as NumPy arrays, and actions for those of their environments in which nobody plays."""

from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.base.user_code import shortly


class AnswerError(ValueError):
    """What a step or a reset returned does not have the shape that it should have."""


def as_array(name: str, value: Any) -> Array:
    """What a simulator returned, as a NumPy array: a tensor comes to the CPU.

    Raises:
        AnswerError: If it is neither an array nor a tensor, nor anything that becomes an array.
    """
    if isinstance(value, Tensor):
        return value.numpy(force=True)
    try:
        return np.asarray(value)
    except Exception as error:  # ragged lists, and whatever odd values raise when they are looked at
        raise AnswerError(f"{name} are {shortly(value)}, expected an array or a tensor") from error


def idle_action(space: Space[Any]) -> Array:
    """A valid action of a space, as an array, for sub-environments in which nobody plays."""
    if isinstance(space, Box):
        return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
    if isinstance(space, Discrete | MultiDiscrete):
        return np.asarray(space.start, space.dtype)
    return np.zeros(space.shape or (), space.dtype)
