"""The multilayer perceptron (MLP)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import WIDEST_LAYER, check_counts
from torchpolicy.policies.base import Policy, policy_generator
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.layers import ACTIVATIONS, seeded_linear


class MLPPolicy(Policy):
    """Linear layers with activations between them.

    Args:
        observation_space: The environment's observation space, any that :class:`Policy` takes.
        action_space: The environment's action space, any that :class:`Policy` takes.
        hidden: Number of units of each hidden layer.
        activation: The function between the layers: elu, gelu, relu, silu or tanh.
        seed: Seed of the initial weights, which have the distribution of ``nn.Linear``'s.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        hidden: int | Sequence[int] = (64, 64),
        activation: str = "tanh",
        seed: int = 0,
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        hidden = check_counts("hidden", hidden, at_most=WIDEST_LAYER)
        shape, outputs = make_encoder(observation_space).input_shape, make_head(action_space).input_size
        generator = policy_generator(seed)
        layers: list[nn.Module] = [] if len(shape) == 1 else [nn.Flatten()]
        for inputs, units in pairwise([prod(shape), *hidden]):
            layers += [seeded_linear(inputs, units, True, generator), ACTIVATIONS[activation]()]
        layers.append(seeded_linear(hidden[-1] if hidden else prod(shape), outputs, True, generator))
        super().__init__(nn.Sequential(*layers), observation_space, action_space)
        if type(self) is MLPPolicy:
            self.settings = {"policy": "mlp", "policy_args": {"hidden": hidden, "activation": activation}}
