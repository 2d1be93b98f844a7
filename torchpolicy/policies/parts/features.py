"""Features of observations for linear policies: polynomials and random waves."""

from itertools import combinations_with_replacement
from math import comb, inf, pi

import torch
from torch import Tensor, nn

from torchpolicy.base.checks import check_count, check_range

MOST = 100_000
"""The largest number of features that is allowed."""


class Polynomial(nn.Module):
    """All products of 1 to `degree` inputs, such as x, y, x^2, xy, y^2: maps (*B, I) to (*B, F).

    The constant 1 is not among them, because the layer's bias takes its place.

    Args:
        inputs: I, length of the input.
        degree: The largest number of inputs in one product.

    Attributes:
        size: F, the number of features.
    """

    index: Tensor

    def __init__(self, inputs: int, degree: int = 2) -> None:
        super().__init__()
        check_count("degree", degree, at_least=1)
        self.size = comb(inputs + degree, degree) - 1
        if self.size > MOST:
            raise ValueError(
                f"degree {degree} makes {self.size:,} products of {inputs} inputs, at most {MOST:,} will do"
            )
        products = [
            each for size in range(1, degree + 1) for each in combinations_with_replacement(range(inputs), size)
        ]
        padded = [each + (inputs,) * (degree - len(each)) for each in products]  # the input after the last is 1
        self.register_buffer("index", torch.tensor(padded), persistent=False)  # (F, degree)

    def forward(self, inputs: Tensor) -> Tensor:
        one = torch.ones_like(inputs[..., :1])
        return torch.cat([inputs, one], -1)[..., self.index].prod(-1)


class Fourier(nn.Module):
    """Random waves sqrt(2) cos(w x + b), w ~ N(0, 1 / bandwidth^2), b ~ U(0, 2 pi): maps (*B, I) to (*B, F).

    Rahimi & Recht (2007), "Random features for large-scale kernel machines": the mean of the products of the
    features of x and y is about exp(-|x - y|^2 / (2 bandwidth^2)). The inputs should be about 1 in size: normalise
    them.

    Args:
        inputs: I, length of the input.
        size: F, the number of features.
        bandwidth: Distance beyond which two observations count as different.
        generator: The random generator that w and b are drawn from.
    """

    weight: Tensor
    phase: Tensor

    def __init__(self, inputs: int, size: int, bandwidth: float, generator: torch.Generator) -> None:
        super().__init__()
        self.size = check_count("waves", size, at_least=1)
        check_range("bandwidth", bandwidth, 0, inf, open_low=True)
        self.register_buffer("weight", torch.randn(inputs, size, generator=generator) / bandwidth)
        self.register_buffer("phase", 2 * pi * torch.rand(size, generator=generator))

    def forward(self, inputs: Tensor) -> Tensor:
        waves = inputs @ self.weight.to(inputs.dtype) + self.phase.to(inputs.dtype)
        return 2**0.5 * waves.cos()
