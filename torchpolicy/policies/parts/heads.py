"""Heads, which turn a network's output, and noise, into actions."""

from abc import ABC, abstractmethod
from math import inf, log, pi
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor, nn

from torchpolicy.base.checks import check_range


class Head(nn.Module, ABC):
    """Turns a network's output into actions in two steps: output -> choice -> action. All are pure functions.

    A choice is what a probability is assigned to: the index of an action, or the action before it is squashed
    into its bounds.

    Attributes:
        input_size: Length of the network's output.
        choice_shape: The shape of one choice.
        choice_dtype: The dtype of choices; None means that of the network's output.
        noise_size: Number of random numbers that one sampled choice needs.
    """

    input_size: int
    choice_shape: tuple[int, ...]
    choice_dtype: torch.dtype | None
    noise_size: int

    def forward(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        """Actions for outputs (*B, input_size): greedy, or sampled with `noise` (*B, noise_size)."""
        return self.to_actions(self.choose(output, noise))

    @abstractmethod
    def choose(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        """Choices (*B, *choice_shape) for outputs (*B, input_size): greedy, or sampled with noise (*B, noise_size)."""

    def choose_numbers(self, output: tuple[Tensor, ...]) -> Tensor:
        """Greedy choices (B, *choice_shape) for outputs given as one tensor (B,) per number: a compiler fuses these."""
        return self.choose(torch.stack(output, -1))

    @abstractmethod
    def to_actions(self, choices: Tensor) -> Tensor:
        """The actions that choices (*B, *choice_shape) stand for."""

    @abstractmethod
    def log_prob(self, output: Tensor, choices: Tensor) -> Tensor:
        """Log-probabilities or log-densities (*B,) of choices (*B, *choice_shape), given outputs (*B, input_size)."""

    @abstractmethod
    def entropy(self, output: Tensor) -> Tensor:
        """Entropies (*B,) of choices in nats, given outputs (*B, input_size)."""

    @abstractmethod
    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        """Noise (steps, noise_size) for that many sampled choices."""

    def fit_spread(self, output: Tensor, choices: Tensor, weights: Tensor, extra: float, floor: float) -> None:
        """Fit the head's own parameters for the spread of choices, where it has some, to the choices that were made.

        Args:
            output: (M, input_size), the network's outputs.
            choices: (M, *choice_shape), the choices that were made.
            weights: (M,), the weight of each choice; their sum is 1.
            extra: Variance that is added to the fitted one.
            floor: The smallest standard deviation that is allowed.
        """

    def set_std(self, std: float) -> None:
        """Let sampled choices have this standard deviation.

        Raises:
            ValueError: If they have none, because actions are not in a Box, or it is not a number above 0.
        """
        raise ValueError("action_std is for actions in a Box: others are drawn from probabilities of their own")

    def limit_spread(self, floor: float) -> None:
        """Keep the head's own standard deviation of choices, where it has one, at `floor` or above."""

    @abstractmethod
    def to_env(self, actions: Tensor) -> list[Any] | np.ndarray[Any, Any]:
        """Actions (N, …) as a sequence of N arguments for ``env.step``."""


class Categorical(Head):
    """Discrete actions: greedily the most probable one, otherwise drawn from the softmax of the output."""

    choice_shape = ()
    choice_dtype = torch.int64
    noise_size = 1

    def __init__(self, space: Discrete) -> None:
        super().__init__()
        self.input_size = int(space.n)
        self.start = int(space.start)

    def choose(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            return output.argmax(-1)
        below = output.softmax(-1).cumsum(-1) <= noise  # inverse of the cumulative distribution
        return below.sum(-1).clamp(max=self.input_size - 1)

    def choose_numbers(self, output: tuple[Tensor, ...]) -> Tensor:
        best, choice = output[0], torch.zeros_like(output[0], dtype=torch.int32)  # as wide as float32
        for index, number in enumerate(output[1:], 1):
            choice, best = torch.where(number > best, index, choice), torch.maximum(number, best)
        return choice

    def to_actions(self, choices: Tensor) -> Tensor:
        return choices + self.start if self.start else choices

    def log_prob(self, output: Tensor, choices: Tensor) -> Tensor:
        return output.log_softmax(-1).gather(-1, choices.unsqueeze(-1)).squeeze(-1)

    def entropy(self, output: Tensor) -> Tensor:
        log_probabilities = output.log_softmax(-1)
        return -(log_probabilities.exp() * log_probabilities).sum(-1)

    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        return torch.rand(steps, self.noise_size, generator=generator)

    def to_env(self, actions: Tensor) -> list[int]:
        return actions.tolist()


class Gaussian(Head):
    """Box actions: one number per dimension, the mean or one drawn around it, squashed into the dimension's bounds.

    Before squashing, the number is u = output + std * noise. A dimension with two bounds then gets
    (low + high) / 2 + (high - low) / 2 tanh u, one with a single bound low + softplus u or high - softplus u, and one
    without bounds u itself. :meth:`entropy` is that of u.

    Attributes:
        log_std: (A,), logarithm of the standard deviation of u, 0 at first. It belongs to the head: a search, which
            moves the net's weights and acts greedily, does not change it.
    """

    choice_dtype = None
    low: Tensor
    high: Tensor
    middle: Tensor
    radius: Tensor

    def __init__(self, space: Box, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape = space.shape
        self.input_size = self.noise_size = int(np.prod(space.shape))
        self.choice_shape = (self.input_size,)
        self.action_dtype = torch.from_numpy(np.empty(0, space.dtype)).dtype
        self.log_std = nn.Parameter(torch.zeros(self.input_size, dtype=dtype))
        low, high = space.low.reshape(-1), space.high.reshape(-1)
        both = np.isfinite(low) & np.isfinite(high)
        down, up = np.where(both, low, 0) / 2, np.where(both, high, 0) / 2
        bounds = {"low": low, "high": high, "middle": up + down, "radius": up - down}
        for name, bound in bounds.items():
            self.register_buffer(name, torch.tensor(bound), persistent=False)
        self.bounded = bool((self.low.isfinite() & self.high.isfinite()).all())

    def choose(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        return output if noise is None else output + self.log_std.exp() * noise.to(output.dtype)

    def to_actions(self, choices: Tensor) -> Tensor:
        low, high = self.low, self.high
        actions = torch.addcmul(self.middle, self.radius, choices.tanh())
        if not self.bounded:
            above, below = low.isfinite(), high.isfinite()
            softplus = nn.functional.softplus(choices)
            one_sided = torch.where(above, low + softplus, torch.where(below, high - softplus, choices))
            actions = torch.where(above & below, actions, one_sided)
        actions = actions.clamp(low, high)  # rounding may step over a bound
        return actions.to(self.action_dtype).reshape(*choices.shape[:-1], *self.shape)

    def log_prob(self, output: Tensor, choices: Tensor) -> Tensor:
        distance = (choices - output) / self.log_std.exp()
        return -(distance.square() / 2 + self.log_std + log(2 * pi) / 2).sum(-1)

    def entropy(self, output: Tensor) -> Tensor:
        return (self.log_std + (1 + log(2 * pi)) / 2).sum().expand(output.shape[:-1])

    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        return torch.randn(steps, self.noise_size, generator=generator)

    @torch.no_grad()
    def set_std(self, std: float) -> None:
        check_range("action_std", std, 0, inf, open_low=True)
        self.log_std.fill_(log(std))

    @torch.no_grad()
    def limit_spread(self, floor: float) -> None:
        if floor > 0:
            self.log_std.clamp_(min=log(floor))

    @torch.no_grad()
    def fit_spread(self, output: Tensor, choices: Tensor, weights: Tensor, extra: float, floor: float) -> None:
        variance = (weights.unsqueeze(-1) * (choices - output).square()).sum(0) + extra
        self.log_std.copy_(variance.sqrt().clamp(min=floor).log())

    def to_env(self, actions: Tensor) -> np.ndarray[Any, Any]:
        return actions.numpy(force=True)


class MultiCategorical(Head):
    """MultiDiscrete actions: each number is greedily the most probable, otherwise drawn from its own softmax."""

    choice_dtype = torch.int64
    start: Tensor

    def __init__(self, space: MultiDiscrete) -> None:
        super().__init__()
        self.shape = space.shape
        self.sizes = space.nvec.ravel().tolist()
        self.input_size = sum(self.sizes)
        self.noise_size = len(self.sizes)
        self.choice_shape = (self.noise_size,)
        self.parts = [Categorical(Discrete(size)) for size in self.sizes]
        self.action_dtype = np.dtype(space.dtype)
        self.register_buffer("start", torch.from_numpy(np.int64(space.start).ravel()), persistent=False)

    def choose(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        each = [None] * self.noise_size if noise is None else torch.split(noise, 1, -1)
        triples = zip(self.parts, torch.split(output, self.sizes, -1), each, strict=True)
        return torch.stack([part.choose(logits, own) for part, logits, own in triples], -1)

    def to_actions(self, choices: Tensor) -> Tensor:
        return (choices + self.start).reshape(*choices.shape[:-1], *self.shape)

    def log_prob(self, output: Tensor, choices: Tensor) -> Tensor:
        pairs = zip(self.parts, torch.split(output, self.sizes, -1), choices.unbind(-1), strict=True)
        return torch.stack([part.log_prob(logits, chosen) for part, logits, chosen in pairs]).sum(0)

    def entropy(self, output: Tensor) -> Tensor:
        pairs = zip(self.parts, torch.split(output, self.sizes, -1), strict=True)
        return torch.stack([part.entropy(logits) for part, logits in pairs]).sum(0)

    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        return torch.rand(steps, self.noise_size, generator=generator)

    def to_env(self, actions: Tensor) -> np.ndarray[Any, Any]:
        return actions.numpy(force=True).astype(self.action_dtype, copy=False)


class Bernoulli(Head):
    """MultiBinary actions: greedily a bit is 1 if its logit is positive, otherwise with probability sigmoid(logit)."""

    choice_dtype = torch.int8

    def __init__(self, space: MultiBinary) -> None:
        super().__init__()
        self.shape = space.shape
        self.input_size = self.noise_size = int(np.prod(space.shape))
        self.choice_shape = (self.input_size,)

    def choose(self, output: Tensor, noise: Tensor | None = None) -> Tensor:
        return (output > 0 if noise is None else noise < output.sigmoid()).to(self.choice_dtype)

    def to_actions(self, choices: Tensor) -> Tensor:
        return choices.reshape(*choices.shape[:-1], *self.shape)

    def log_prob(self, output: Tensor, choices: Tensor) -> Tensor:
        return nn.functional.logsigmoid(torch.where(choices > 0, output, -output)).sum(-1)

    def entropy(self, output: Tensor) -> Tensor:
        on, off = nn.functional.logsigmoid(output), nn.functional.logsigmoid(-output)
        return -(on.exp() * on + off.exp() * off).sum(-1)

    def draw_noise(self, steps: int, generator: torch.Generator) -> Tensor:
        return torch.rand(steps, self.noise_size, generator=generator)

    def to_env(self, actions: Tensor) -> np.ndarray[Any, Any]:
        return actions.numpy(force=True)


def make_head(space: Space[Any], dtype: torch.dtype = torch.float32) -> Head:
    """The head of an action space, for network outputs of a dtype.

    Raises:
        ValueError: If the space is not supported. The message says what to do.
    """
    if isinstance(space, Discrete):
        return Categorical(space)
    if isinstance(space, MultiDiscrete):
        return MultiCategorical(space)
    if isinstance(space, MultiBinary):
        return Bernoulli(space)
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return Gaussian(space, dtype)
    raise ValueError(
        f"action space {space} is not supported: Discrete, MultiDiscrete, MultiBinary and Box of floats are "
        "(gymnasium.wrappers.TransformAction turns actions of one of them into those of the environment)"
    )
