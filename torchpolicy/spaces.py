"""Observation spaces: how what an environment shows becomes a network's input; spaces to JSON and back."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn

Array = np.ndarray[Any, Any]


class ObservationError(ValueError):
    """An observation that is not what its space says."""


class Encoder(nn.Module, ABC):
    """Turns observations (*B, *O) into a network's input (*B, *input_shape).

    Attributes:
        input_shape: Of one encoded observation.
        observation_shape: O, of one raw observation.
        observation_dtype: What raw observations are kept as: integers for Discrete, floats else.
    """

    input_shape: tuple[int, ...]
    observation_shape: tuple[int, ...]
    observation_dtype: torch.dtype | None = None  # None: that of the network

    @abstractmethod
    def check(self, observations: list[Any]) -> Array:
        """Raw observations as they came, N of them, as one array (N, *O).

        Raises:
            ObservationError: If one of them is not what the space says.
        """


class BoxEncoder(Encoder):
    """A Box as it is, in the network's dtype; a scalar Box becomes one feature."""

    def __init__(self, space: Box) -> None:
        super().__init__()
        self.observation_shape = space.shape
        self.input_shape = space.shape or (1,)

    def check(self, observations: list[Any]) -> Array:
        try:
            array = np.array(observations)
        except ValueError:  # of several shapes
            array = np.empty(0, object)
        if array.shape != (len(observations), *self.observation_shape) or array.dtype.kind not in "biuf":
            first = np.asarray(observations[0])
            found = f"shape {first.shape} of {first.dtype}"
            raise ObservationError(f"observation has {found}, its space has shape {self.observation_shape}")
        return array

    def forward(self, observations: Tensor) -> Tensor:
        return observations if self.observation_shape else observations.unsqueeze(-1)


class OneHotEncoder(Encoder):
    """A Discrete observation as a one-hot vector."""

    observation_dtype = torch.int64
    values: Tensor

    def __init__(self, space: Discrete) -> None:
        super().__init__()
        self.observation_shape = ()
        self.input_shape = (int(space.n),)
        self._start, self._end = int(space.start), int(space.start + space.n)
        values = torch.arange(self._start, self._end)
        self.register_buffer("values", values, persistent=False)

    def check(self, observations: list[Any]) -> Array:
        try:
            array = np.array(observations)
        except ValueError:  # of several shapes
            array = np.empty(0)
        whole = array.shape == (len(observations),) and array.dtype.kind in "iu"
        if not (whole and array.min() >= self._start and array.max() < self._end):
            raise ObservationError(f"observation is {observations[0]!r}, its space is {self._start} to {self._end - 1}")
        return array

    def forward(self, observations: Tensor) -> Tensor:
        return observations.unsqueeze(-1) == self.values


def make_encoder(space: Space[Any]) -> Encoder:
    """The encoder of an observation space.

    Raises:
        ValueError: If the space is neither a Box nor a Discrete.
    """
    if isinstance(space, Box):
        return BoxEncoder(space)
    if isinstance(space, Discrete):
        return OneHotEncoder(space)
    raise ValueError(
        f"observation space {space} is not supported: Box and Discrete are "
        "(gymnasium.wrappers.FlattenObservation turns a Dict or Tuple into a Box)"
    )


def space_to_json(space: Space[Any]) -> dict[str, Any]:
    """A Box or Discrete as plain values."""
    if isinstance(space, Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, Box):
        return {
            "type": "Box",
            "low": _bound_to_json(space.low),
            "high": _bound_to_json(space.high),
            "shape": list(space.shape),
            "dtype": np.dtype(space.dtype).name,
        }
    raise ValueError(f"space {space} cannot be saved: Box and Discrete can")


def space_from_json(description: dict[str, Any]) -> Space[Any]:
    """The inverse of :func:`space_to_json`."""
    kind = description.get("type")
    if kind == "Discrete":
        return Discrete(description["n"], start=description["start"])
    if kind == "Box":
        dtype = np.dtype(description["dtype"])
        read = dtype if np.issubdtype(dtype, np.integer) else np.dtype(float)
        low, high = (np.asarray(description[side], dtype=read).astype(dtype) for side in ("low", "high"))
        shape = tuple(description["shape"])
        return Box(np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, dtype.type)
    raise ValueError(f"unknown space {kind!r}: expected 'Box' or 'Discrete'")


def _bound_to_json(bound: np.ndarray[Any, Any]) -> Any:
    """Equal bounds as one value, and infinities as words, which JSON lacks numbers for."""
    if bound.size and (bound == bound.flat[0]).all():
        bound = np.asarray(bound.flat[0])
    if np.isfinite(bound).all():
        return bound.tolist()
    return np.vectorize(str)(bound.astype(float)).tolist() if bound.ndim else str(float(bound))
