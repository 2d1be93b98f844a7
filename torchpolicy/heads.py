"""Heads: (network output, noise) -> action, as pure functions."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn


class Head(nn.Module, ABC):
    """Turns a network's output into actions.

    Attributes:
        input_size: Length of the network's output.
        noise_size: Random numbers that one sampled action takes; 0 if the head knows no sampling.
    """

    input_size: int
    noise_size: int = 0

    @abstractmethod
    def forward(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        """Actions for outputs (*B, input_size), greedy, or sampled with `noise` (*B, noise_size)."""

    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        """Noise (steps, noise_size) for as many sampled actions, uniform in [0, 1)."""
        return torch.rand(steps, self.noise_size, generator=generator)

    @abstractmethod
    def to_env(self, actions: Tensor) -> list[Any] | np.ndarray[Any, Any]:
        """A batch of actions (N, …) as a sequence of N arguments for ``env.step``."""


class Categorical(Head):
    """Discrete actions: the most probable one, or one drawn from the softmax of the output."""

    noise_size = 1

    def __init__(self, space: Discrete) -> None:
        super().__init__()
        self.input_size = int(space.n)
        self.start = int(space.start)

    def forward(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            index = output.argmax(-1)
        else:  # inverse of the cumulative distribution
            below = output.softmax(-1).cumsum(-1) <= noise
            index = below.sum(-1).clamp(max=self.input_size - 1)
        return index + self.start if self.start else index

    def to_env(self, actions: Tensor) -> list[int]:
        return actions.tolist()


class Deterministic(Head):
    """Box actions: one number a dimension, squashed into the dimension's bounds.

    With output u: (low + high) / 2 + (high - low) / 2 tanh u between two bounds, low + softplus u or
    high - softplus u beside one, u itself where there is none.
    """

    low: Tensor
    high: Tensor
    middle: Tensor
    radius: Tensor

    def __init__(self, space: Box) -> None:
        super().__init__()
        self.shape = space.shape
        self.input_size = int(np.prod(space.shape))
        self.action_dtype = torch.from_numpy(np.empty(0, space.dtype)).dtype
        low, high = space.low.reshape(-1), space.high.reshape(-1)
        both = np.isfinite(low) & np.isfinite(high)
        down, up = np.where(both, low, 0) / 2, np.where(both, high, 0) / 2
        bounds = {"low": low, "high": high, "middle": up + down, "radius": up - down}
        for name, bound in bounds.items():
            self.register_buffer(name, torch.tensor(bound), persistent=False)
        self.bounded = bool((self.low.isfinite() & self.high.isfinite()).all())

    def forward(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        low, high = self.low, self.high
        actions = torch.addcmul(self.middle, self.radius, output.tanh())
        if not self.bounded:
            above, below = low.isfinite(), high.isfinite()
            softplus = nn.functional.softplus(output)
            one_sided = torch.where(above, low + softplus, torch.where(below, high - softplus, output))
            actions = torch.where(above & below, actions, one_sided)
        actions = actions.clamp(low, high)  # rounding may step over a bound
        return actions.to(self.action_dtype).reshape(*output.shape[:-1], *self.shape)

    def to_env(self, actions: Tensor) -> np.ndarray[Any, Any]:
        return actions.numpy(force=True)


def make_head(space: Space[Any]) -> Head:
    """The head of an action space.

    Raises:
        ValueError: If the space is neither a Discrete nor a Box of floats.
    """
    if isinstance(space, Discrete):
        return Categorical(space)
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return Deterministic(space)
    raise ValueError(f"action space {space} is not supported: Discrete and Box of floats are")
