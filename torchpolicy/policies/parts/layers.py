"""Layers and activations that the policies' networks are built from, in addition to torch's."""

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
"""Activation layers by the names that a policy's `activation` takes."""


class Residual(nn.Module):
    """Adds the output of its layers to their input: x + layers(x).

    Args:
        *layers: Modules that are applied one after another. The last output has the shape of the first input.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.body(x)
        return x + added


class ChannelsFirst(nn.Module):
    """Images (…, height, width, channels) as torch's convolutions take them, (…, channels, height, width).

    Args:
        moved: Whether channels come last and are moved; otherwise images pass as they are.
        added: Whether images have no channels, and get one.
        stacked: Whether there are several images, whose channels are put together.
    """

    def __init__(self, *, moved: bool = False, added: bool = False, stacked: bool = False) -> None:
        super().__init__()
        self._moved, self._added, self._stacked = moved, added, stacked

    def forward(self, images: Tensor) -> Tensor:
        images = images.movedim(-1, -3) if self._moved else images
        images = images.unsqueeze(-3) if self._added else images
        return images.flatten(-4, -3) if self._stacked else images


class Branches(nn.Module):
    """Modules side by side, each for one part of a vector; their outputs become one vector again.

    Args:
        shapes: The shape of each part.
        branches: A module for each part, from (N, *shape) to (N, …).
    """

    def __init__(self, shapes: Sequence[Sequence[int]], branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self._shapes = [tuple(shape) for shape in shapes]
        self.branches = nn.ModuleList(branches)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.joined(inputs, self.branches)

    def joined(self, inputs: Tensor, branches: Iterable[Callable[[Tensor], Tensor]]) -> Tensor:
        """What functions make of the parts of inputs (…, I), as one vector (…, F)."""
        parts = torch.split(inputs, [prod(shape) for shape in self._shapes], -1)
        batch = inputs.ndim - 1
        shaped = (part.reshape(*part.shape[:-1], *shape) for part, shape in zip(parts, self._shapes, strict=True))
        return torch.cat([branch(part).flatten(batch) for branch, part in zip(branches, shaped, strict=True)], -1)


def seeded(layer: Layer, generator: torch.Generator) -> Layer:
    """A layer with weights drawn from a generator, U(-1, 1)/sqrt(fan_in), as torch draws those of this kind."""
    weight = layer.get_parameter("weight")
    bound = prod(weight.shape[1:]) ** -0.5
    for parameter in layer.to_empty(device="cpu").parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def seeded_linear(in_features: int, out_features: int, bias: bool, generator: torch.Generator) -> nn.Linear:
    """``nn.Linear`` with its usual initial weights, drawn from the given generator."""
    return seeded(nn.Linear(in_features, out_features, bias=bias, device="meta"), generator)
