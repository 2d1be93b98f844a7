"""Functions to minimise, (N, D) to (N,); the optimum of the first two is 3 in all dimensions."""

import torch
from torch import Tensor


def sphere(x: Tensor) -> Tensor:
    return ((x - 3) ** 2).sum(1)


def ellipsoid(x: Tensor) -> Tensor:
    """Of condition 1e6."""
    scales = 10 ** torch.linspace(0, 6, x.shape[1], dtype=x.dtype)
    return (scales * (x - 3) ** 2).sum(1)


def rosenbrock(x: Tensor) -> Tensor:
    """In two dimensions, with the optimum at 1."""
    return 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2
