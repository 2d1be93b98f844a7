"""K draws of noise for one tensor of a vector: factors of a low rank for a matrix, or every number on its own.

Either kind answers the same questions; each number of the noise has variance 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Factors(NamedTuple):
    """K matrices of a low rank r, left @ right^T."""

    left: Tensor  # (K, m, r)
    right: Tensor  # (K, n, r)

    @property
    def rank(self) -> int | None:
        """r; None for plain numbers."""
        return self.left.shape[2]

    def full(self, rows: Tensor) -> Tensor:
        """The draws of some rows (P,) in full, (P, m n)."""
        return torch.bmm(self.left[rows], self.right[rows].transpose(1, 2)).flatten(1)

    def scaled(self, rows: Tensor, sizes: Tensor) -> "Factors":
        """The draws of some rows (P,), each times a size (P,)."""
        return Factors(self.left[rows] * sizes.view(-1, 1, 1), self.right[rows])

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """The sum of the draws, (m n,), with weights (K,)."""
        left = (self.left * weights.view(-1, 1, 1)).transpose(0, 1).flatten(1)  # (m, K r)
        return (left @ self.right.transpose(1, 2).reshape(left.shape[1], -1)).flatten()

    def square_sum(self, weights: Tensor) -> Tensor:
        """The sum of the draws' squares, (m n,), with weights (K,): its mean over the matrix, in every place."""
        grams = (torch.bmm(side.transpose(1, 2), side) for side in self)  # (K, r, r) each
        squares = torch.mul(*grams).sum((1, 2))  # |A B^T|^2 is the sum of A^T A times B^T B, place by place
        size = self.left.shape[1] * self.right.shape[1]
        return (weights @ squares / size).expand(size)


class Plain(NamedTuple):
    """K draws of every number, asked as factors are."""

    numbers: Tensor  # (K, n)

    @property
    def rank(self) -> int | None:
        """None, because there are no factors."""
        return None

    def full(self, rows: Tensor) -> Tensor:
        """The draws of some rows (P,), (P, n)."""
        return self.numbers[rows]

    def scaled(self, rows: Tensor, sizes: Tensor) -> Factors:
        """Refused, because there are no factors."""
        raise TypeError("plain numbers have no factors")

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """The sum of the draws, (n,), with weights (K,)."""
        return weights @ self.numbers

    def square_sum(self, weights: Tensor) -> Tensor:
        """The sum of the squares of the draws, (n,), with weights (K,)."""
        return weights @ self.numbers.square()
