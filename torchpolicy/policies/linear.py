"""The linear policy: pi(a|s) = softmax over a of theta . x(s, a)."""

from math import prod
from typing import Any

import torch
from gymnasium import Space
from gymnasium.spaces import Discrete
from torch import nn

from torchpolicy.heads import make_head
from torchpolicy.policies.base import Policy, policy_generator, seeded_linear
from torchpolicy.spaces import make_encoder


class LinearPolicy(Policy):
    """One linear layer: a linear softmax for discrete actions, a linear controller for a Box.

    The features x(s, a) are the block of theta that belongs to action a, times the features of s:
    the observation with a constant 1 for the bias, or a one-hot vector of a discrete observation,
    or whatever `features` makes of them.

    Args:
        observation_space: Box or Discrete.
        action_space: Discrete, or Box of floats.
        features: A module from (N, *input_shape) to (N, F) put before the layer; its trainable
            parameters are searched too.
        bias: Whether the layer has a bias. None: unless the observation is Discrete, whose one-hot
            features have a weight for every state and action already.
        seed: Of the initial weights, which are those of ``nn.Linear``.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        features: nn.Module | None = None,
        bias: bool | None = None,
        seed: int = 0,
    ) -> None:
        if bias is None:
            bias = features is not None or not isinstance(observation_space, Discrete)
        shape, outputs = make_encoder(observation_space).input_shape, make_head(action_space).input_size
        before: list[nn.Module] = []
        if features is not None:
            before.append(features)
            shape = _shape_of(features, shape)
        if len(shape) != 1:
            before.append(nn.Flatten())
        layer = seeded_linear(prod(shape), outputs, bias, policy_generator(seed))
        super().__init__(nn.Sequential(*before, layer) if before else layer, observation_space, action_space)
        if features is None and type(self) is LinearPolicy:
            self.settings = {"policy": "linear", "policy_args": {"bias": bias}}


@torch.no_grad()
def _shape_of(features: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of the features of one observation."""
    modes = {module: module.training for module in features.modules()}
    try:
        return tuple(features.eval()(torch.zeros(1, *shape)).shape[1:])
    except Exception as error:
        raise ValueError(f"features do not take a batch of observations of shape {shape}: {error}") from error
    finally:
        for module, training in modes.items():
            module.training = training
