"""Encoders, which turn an environment's observations into a network's input."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from torch import Tensor, nn

from torchpolicy.base.types import Array

COLLECTIONS = (Mapping, tuple, list)
"""Types of the observations of a Dict or Tuple space."""


class ObservationError(ValueError):
    """An observation that does not lie in its space."""


class Encoder(nn.Module, ABC):
    """Turns observations (*B, *O) into a network's input (*B, *input_shape).

    Attributes:
        input_shape: The shape of one encoded observation.
        observation_shape: O, the shape of one observation as it is stored.
        observation_dtype: The dtype in which observations are stored: integers for Discrete spaces and images. None,
            for most other spaces, means the network's dtype.
        one_hot: Whether the encoded observation holds only zeros and ones.
        is_image: Whether it may be seen as an image, or a stack of images.
    """

    input_shape: tuple[int, ...]
    observation_shape: tuple[int, ...]
    observation_dtype: torch.dtype | None = None
    one_hot: bool = False
    is_image: bool = False

    @property
    def leaves(self) -> "list[Encoder]":
        """The encoders of all parts, with those of nested ones, in the order of their numbers."""
        return [self]

    @abstractmethod
    def check(self, observations: list[Any] | Array) -> Array:
        """Put N observations that came from environments, in a list or an array, into a new array (N, *O).

        Raises:
            ObservationError: If one of them does not lie in the space.
        """

    def pack(self, observations: Any) -> Tensor:
        """One observation of the space, or a batch of them, as a tensor (*O) or (N, *O).

        Raises:
            ValueError: If the observation does not have the shape of its space.
        """
        shape = self.observation_shape
        try:
            packed = observations if isinstance(observations, Tensor) else torch.from_numpy(np.array(observations))
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected obs of shape {shape} or (N, *{shape}), got {observations!r}") from error
        batch = packed.ndim - len(shape)
        if batch not in (0, 1) or packed.shape[batch:] != shape:
            raise ValueError(f"expected obs of shape {shape} or (N, *{shape}), got {tuple(packed.shape)}")
        return packed


class BoxEncoder(Encoder):
    """Numbers unchanged, in the network's dtype; a scalar becomes one feature, and images are scaled to [0, 1].

    An image is a Box of uint8 from 0 to 255 with three dimensions, as in stable-baselines3; with two if it is grey, and
    with four if it is a stack.
    """

    def __init__(self, space: Box | MultiBinary) -> None:
        super().__init__()
        self.observation_shape = tuple(space.shape)
        self.input_shape = self.observation_shape or (1,)
        self.one_hot = isinstance(space, MultiBinary)
        if space.dtype == np.uint8:
            self.observation_dtype = torch.uint8
        full = isinstance(space, Box) and (space.low == 0).all() and (space.high == 255).all()
        self._is_scaled = space.dtype == np.uint8 and len(space.shape) >= 2 and full
        self.is_image = self._is_scaled or (isinstance(space, Box) and len(space.shape) >= 3)

    def check(self, observations: list[Any] | Array) -> Array:
        array = _stacked(observations)
        kinds = "biuf" if self.observation_dtype is None else "bu"
        if array.shape != (len(observations), *self.observation_shape) or array.dtype.kind not in kinds:
            first = _stacked(observations[:1])
            wanted = f"shape {self.observation_shape}" + ("" if self.observation_dtype is None else " of uint8")
            raise ObservationError(f"observation has shape {first.shape[1:]} of {first.dtype}, its space has {wanted}")
        return array

    def forward(self, observations: Tensor) -> Tensor:
        if self._is_scaled:
            observations = observations / 255
        return observations if self.observation_shape else observations.unsqueeze(-1)


class OneHotEncoder(Encoder):
    """A Discrete observation as a one-hot vector; a MultiDiscrete one as several, one after another."""

    observation_dtype = torch.int64
    one_hot = True
    values: Tensor
    place: Tensor

    def __init__(self, space: Discrete | MultiDiscrete) -> None:
        super().__init__()
        self.observation_shape = tuple(space.shape or ())
        sizes = np.asarray(space.n if isinstance(space, Discrete) else space.nvec, np.int64)
        self._low = np.asarray(space.start, np.int64)
        self._end = self._low + sizes
        self.input_shape = (int(sizes.sum()),)
        ranges = [np.arange(low, end) for low, end in zip(self._low.flat, self._end.flat, strict=True)]
        self.register_buffer("values", torch.from_numpy(np.concatenate(ranges)), persistent=False)
        place = np.arange(sizes.size).repeat(sizes.ravel())  # for each value, the index of the number it belongs to
        self.register_buffer("place", torch.from_numpy(place), persistent=False)

    def check(self, observations: list[Any] | Array) -> Array:
        array = _stacked(observations)
        whole = array.shape == (len(observations), *self.observation_shape) and array.dtype.kind in "iu"
        if not (whole and self._holds(array)):
            last = (self._end - 1).tolist()
            raise ObservationError(f"observation is {observations[0]!r}, its space is {self._low.tolist()} to {last}")
        return array

    def pack(self, observations: Any) -> Tensor:
        packed = super().pack(observations)
        if not torch.compiler.is_exporting() and not self._holds(packed.numpy(force=True)):
            last = (self._end - 1).tolist()
            raise ValueError(f"expected obs from {self._low.tolist()} to {last}, got {observations!r}")
        return packed

    def _holds(self, values: Array) -> bool:
        """Whether all values lie in the space."""
        return bool((values >= self._low).all() and (values < self._end).all())

    def forward(self, observations: Tensor) -> Tensor:
        if not self.observation_shape:
            return observations.unsqueeze(-1) == self.values
        return observations.flatten(-len(self.observation_shape))[..., self.place] == self.values


class JoinedEncoder(Encoder):
    """The parts of a Dict or Tuple observation, each encoded and flattened, one after another.

    An observation is stored as one vector of all its numbers, which :meth:`pack` makes.
    """

    def __init__(self, space: "Dict | Tuple[Any]") -> None:
        super().__init__()
        named: dict[Any, Any] = dict(enumerate(space.spaces))
        if isinstance(space, Dict):  # equal spaces may list their keys in different orders
            named = dict(sorted(space.spaces.items(), key=lambda item: str(item[0])))
        if not named:
            raise ValueError(f"observation space {space} is empty")
        self._keys = list(named)
        parts = []
        for key, part in named.items():
            try:
                parts.append(make_encoder(part))
            except ValueError as error:
                others = [other for other in named if other != key]
                hint = f"; gymnasium.wrappers.FilterObservation(env, {others}) leaves it out" if others else ""
                raise ValueError(f"part {key!r} of the observations: {error}{hint}") from error
        self._parts: Any = nn.ModuleList(parts)
        self._sizes = [prod(part.observation_shape) for part in parts]
        self.observation_shape = (sum(self._sizes),)
        self.input_shape = (sum(prod(part.input_shape) for part in parts),)
        self.one_hot = all(part.one_hot for part in parts)

    @property
    def leaves(self) -> list[Encoder]:
        return [leaf for part in self._parts for leaf in part.leaves]

    def check(self, observations: list[Any] | Array) -> Array:
        for observation in observations:
            if not isinstance(observation, COLLECTIONS) or len(observation) != len(self._keys):
                raise ObservationError(f"observation is {observation!r}, its space has {self._keys}")
        columns = []
        for key, part in zip(self._keys, self._parts, strict=True):
            try:
                found = part.check([observation[key] for observation in observations])
            except (KeyError, TypeError, ObservationError) as error:
                raise ObservationError(f"in {key!r}: {error}") from error
            columns.append(found.reshape(len(observations), -1))
        return np.concatenate(columns, axis=1)

    def pack(self, observations: Any) -> Tensor:
        if isinstance(observations, Tensor | np.ndarray):
            return super().pack(observations)  # packed already
        columns = []
        for key, part in zip(self._keys, self._parts, strict=True):
            try:
                found = part.pack(observations[key])
            except (KeyError, IndexError, TypeError) as error:
                raise ValueError(f"expected obs with {self._keys}, got {observations!r}") from error
            batch = found.shape[: found.ndim - len(part.observation_shape)]
            columns.append(found.reshape(*batch, -1))
        try:
            return torch.cat(columns, -1)
        except RuntimeError as error:
            raise ValueError(f"expected obs with one batch size in all of {self._keys}: {error}") from error

    def forward(self, observations: Tensor) -> Tensor:
        columns = []
        for part, found in zip(self._parts, torch.split(observations, self._sizes, -1), strict=True):
            encoded = part(found.reshape((*found.shape[:-1], *part.observation_shape)))
            columns.append(encoded.flatten(-len(part.input_shape)))
        return torch.cat(columns, -1)


def make_encoder(space: Space[Any]) -> Encoder:
    """The encoder of an observation space.

    Raises:
        ValueError: If the space is not supported. The message says what to do.
    """
    if isinstance(space, Box | MultiBinary):
        return BoxEncoder(space)
    if isinstance(space, Discrete | MultiDiscrete):
        return OneHotEncoder(space)
    if isinstance(space, Dict | Tuple):
        return JoinedEncoder(space)
    raise ValueError(
        f"observation space {space} is not supported: Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of "
        "these are (gymnasium.wrappers.TransformObservation turns observations into one of them)"
    )


def _stacked(observations: Iterable[Any]) -> Array:
    """Observations as one array; an array of objects without dimensions if their shapes differ."""
    try:
        return np.array(observations)
    except Exception:  # odd observations may raise anything when NumPy reads them
        return np.empty((), object)
