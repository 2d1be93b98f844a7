"""Policies that see: convolutions over images."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import WIDEST_LAYER, check_choice, check_counts
from torchpolicy.policies.base import Policy, policy_generator
from torchpolicy.policies.parts.encoders import JoinedEncoder, make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.layers import ACTIVATIONS, Branches, ChannelsFirst, seeded, seeded_linear


class ConvPolicy(Policy):
    """Convolutions, then linear layers, with an activation after each but the last.

    Images may be (height, width, channels), (channels, height, width), (height, width), or a stack of any of these, as
    ``gymnasium.wrappers.FrameStackObservation`` gives. Channels are taken to be the first dimension if it is smaller
    than the last. A Dict or Tuple of images and other observations, also a nested one, has convolutions for each image,
    and the rest goes into the first linear layer beside what they make of it.

    Args:
        observation_space: The environment's observation space: images, or a Dict or Tuple with an image in it.
        action_space: The environment's action space, any that :class:`Policy` takes.
        channels: Number of channels that each convolution computes.
        kernels: Side of the square kernels of each convolution; one number stands for all.
        strides: Step of each convolution over the image; one number stands for all.
        hidden: Number of units of each linear layer before the last.
        activation: The function between the layers: elu, gelu, relu, silu or tanh.
        seed: Seed of the initial weights, which have the distribution of torch's own.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        channels: int | Sequence[int] = (16,),
        kernels: int | Sequence[int] = (3,),
        strides: int | Sequence[int] = (1,),
        hidden: int | Sequence[int] = (128,),
        activation: str = "relu",
        seed: int = 0,
    ) -> None:
        check_choice("activation", activation, ACTIVATIONS)
        given = {"channels": channels, "kernels": kernels, "strides": strides, "hidden": hidden}
        channels, kernels, strides, hidden = (
            check_counts(name, numbers, at_most=WIDEST_LAYER) for name, numbers in given.items()
        )
        kernels, strides = (each * len(channels) if len(each) == 1 else each for each in (kernels, strides))
        if not len(channels) == len(kernels) == len(strides):
            raise ValueError(
                f"channels, kernels and strides should have a number for each convolution, got {channels}, {kernels} "
                f"and {strides}"
            )
        encoder, outputs = make_encoder(observation_space), make_head(action_space).input_size
        generator = policy_generator(seed)
        act = ACTIVATIONS[activation]
        rest = list(zip(channels, kernels, strides, strict=True))

        def seeing(shape: Sequence[int]) -> nn.Sequential:
            return _convolutions(shape, rest, act, generator)

        if isinstance(encoder, JoinedEncoder):
            leaves = encoder.leaves
            if not any(leaf.is_image for leaf in leaves):
                raise ValueError(f"ConvPolicy needs an image, and there is none in {observation_space}")
            parts = [seeing(leaf.input_shape) if leaf.is_image else nn.Flatten() for leaf in leaves]
            layers: list[nn.Module] = [Branches([leaf.input_shape for leaf in leaves], parts)]
        else:
            layers = [*seeing(encoder.input_shape), nn.Flatten()]
        with torch.no_grad():
            width = prod(nn.Sequential(*layers)(torch.zeros(1, *encoder.input_shape)).shape)
        for units in hidden:
            layers += [seeded_linear(width, units, True, generator), act()]
            width = units
        layers.append(seeded_linear(width, outputs, True, generator))
        super().__init__(nn.Sequential(*layers), observation_space, action_space)
        if type(self) is ConvPolicy:
            options = {"channels": channels, "kernels": kernels, "strides": strides, "hidden": hidden}
            self.settings = {"policy": "conv", "policy_args": options | {"activation": activation}}


def _convolutions(
    shape: Sequence[int],
    layers: Sequence[tuple[int, ...]],
    activation: type[nn.Module],
    generator: torch.Generator,
) -> nn.Sequential:
    """Convolutions of images of a shape, of (channels, kernel, stride) each."""
    first, (inside, *size) = _channels_first(shape)
    made: list[nn.Module] = [first]
    for number, (outside, kernel, stride) in enumerate(layers, 1):
        if kernel > min(size):
            raise ValueError(
                f"convolution {number} has kernels of {kernel} x {kernel} for images of {size[0]} x {size[1]}; the "
                f"observations have shape {tuple(shape)}"
            )
        made += [seeded(nn.Conv2d(inside, outside, kernel, stride, device="meta"), generator), activation()]
        inside, size = outside, [(side - kernel) // stride + 1 for side in size]
    return nn.Sequential(*made)


def _channels_first(shape: Sequence[int]) -> tuple[ChannelsFirst, tuple[int, ...]]:
    """The layer that puts channels first, and the shape (channels, height, width) that images have after it."""
    if len(shape) == 2:
        return ChannelsFirst(added=True), (1, *shape)
    if len(shape) not in (3, 4):
        raise ValueError(
            "ConvPolicy takes images (height, width), (height, width, channels) or (channels, height, width), or "
            f"stacks of them, got observations of shape {tuple(shape)}"
        )
    moved = shape[-3] >= shape[-1]
    channels, *size = (shape[-1], *shape[-3:-1]) if moved else shape[-3:]
    count = shape[0] if len(shape) == 4 else 1
    return ChannelsFirst(moved=moved, stacked=len(shape) == 4), (count * channels, *size)
