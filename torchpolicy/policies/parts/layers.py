"""Layers that networks here are made of, beside torch's."""

from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}
"""By the names that policies know them by."""


class Residual(nn.Module):
    """Adds to its input what its layers make of it.

    Args:
        *layers: One after the other, from a shape to the same shape.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.body(x)
        return x + added
