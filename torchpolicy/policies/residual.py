"""The residual policy: a deep network of residual blocks with layer normalisation."""

from math import prod
from typing import Any

import torch
from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import WIDEST_LAYER, check_choice, check_count
from torchpolicy.policies.base import Policy, policy_generator
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.layers import ACTIVATIONS, Residual, seeded_linear


class ResidualPolicy(Policy):
    """Blocks x + linear(activation(linear(norm(x)))) between two linear layers.

    The initial weights of each block's last layer are multiplied by 1/sqrt(blocks), so that the sum of all blocks is
    at first about as large as a single block's output, however many blocks there are.

    Args:
        observation_space: The environment's observation space, any that :class:`Policy` takes.
        action_space: The environment's action space, any that :class:`Policy` takes.
        width: Number of units of every layer.
        blocks: Number of residual blocks.
        activation: The function inside each block: elu, gelu, relu, silu or tanh.
        seed: Seed of the initial weights.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        width: int = 64,
        blocks: int = 2,
        activation: str = "gelu",
        seed: int = 0,
    ) -> None:
        check_choice("activation", activation, ACTIVATIONS)
        width = check_count("width", width, at_least=1, at_most=WIDEST_LAYER)
        blocks = check_count("blocks", blocks, at_least=1)
        shape, outputs = make_encoder(observation_space).input_shape, make_head(action_space).input_size
        generator = policy_generator(seed)
        layers: list[nn.Module] = [] if len(shape) == 1 else [nn.Flatten()]
        layers.append(seeded_linear(prod(shape), width, True, generator))
        for _ in range(blocks):
            first, last = (seeded_linear(width, width, True, generator) for _ in range(2))
            with torch.no_grad():
                last.weight.mul_(blocks**-0.5)
                last.bias.mul_(blocks**-0.5)
            layers.append(Residual(nn.LayerNorm(width), first, ACTIVATIONS[activation](), last))
        layers += [nn.LayerNorm(width), seeded_linear(width, outputs, True, generator)]
        super().__init__(nn.Sequential(*layers), observation_space, action_space)
        if type(self) is ResidualPolicy:
            options = {"width": width, "blocks": blocks, "activation": activation}
            self.settings = {"policy": "residual", "policy_args": options}
