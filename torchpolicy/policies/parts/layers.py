"""Layers and activations that the policies' networks are built from, in addition to torch's."""

import torch
from torch import Tensor, nn

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


def seeded_linear(in_features: int, out_features: int, bias: bool, generator: torch.Generator) -> nn.Linear:
    """``nn.Linear`` with its usual initial weights, U(-1, 1)/sqrt(in_features), drawn from the given generator."""
    layer = nn.Linear(in_features, out_features, bias=bias, device="meta").to_empty(device="cpu")  # draws nothing
    bound = in_features**-0.5
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer
