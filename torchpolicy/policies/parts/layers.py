"""Layers and activations that the policies' networks are built from, in addition to torch's."""

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
