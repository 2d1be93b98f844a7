"""Populations whose noise has a low rank in every matrix: a million weights, and no member's matrix is ever formed.

Sarkar et al. (2025), "Evolution strategies at the hyperscale" (EGGROLL), arXiv 2511.16652.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchpolicy.base.checks import check_count
from torchpolicy.vectors.params import Slices


class Factors(NamedTuple):
    """K matrices of noise, left @ right^T, each number of variance 1."""

    left: Tensor  # (K, m, r)
    right: Tensor  # (K, n, r), divided by sqrt r


@dataclass(frozen=True)
class Population:
    """P weight vectors, center + sign * std * noise, as what they are made of.

    Attributes:
        center: (D,).
        std: (D,), the same in all of a matrix.
        slices: Where each tensor lies.
        noise: K draws of each tensor: factors of a matrix (m, n), or all numbers (K, numel).
        draws: (P,) int64, the draw that each member has.
        signs: (P,), 1 or -1, or 0 for a member that is the center.
    """

    center: Tensor
    std: Tensor
    slices: Slices
    noise: dict[str, Tensor | Factors]
    draws: Tensor
    signs: Tensor

    def __len__(self) -> int:
        return len(self.draws)

    @property
    def shape(self) -> tuple[int, int]:
        """(P, D)."""
        return len(self), len(self.center)

    @property
    def dtype(self) -> torch.dtype:
        """Of its numbers."""
        return self.center.dtype

    @property
    def rank(self) -> int | None:
        """Of the factors; None where no matrix has any."""
        ranks = [noise.left.shape[2] for noise in self.noise.values() if isinstance(noise, Factors)]
        return ranks[0] if ranks else None

    def __getitem__(self, rows: Any) -> "Population":
        """The members of some rows, in their order."""
        return replace(self, draws=self.draws[rows].reshape(-1), signs=self.signs[rows].reshape(-1))

    def with_center(self) -> "Population":
        """The same and one member more, the center."""
        draws, signs = (torch.cat([each, each.new_zeros(1)]) for each in (self.draws, self.signs))
        return replace(self, draws=draws, signs=signs)

    @staticmethod
    def of_center(center: Tensor, slices: Slices, rank: int) -> "Population":
        """One member, the center."""
        none: dict[str, Tensor | Factors] = {}
        for name, shape in slices.shapes.items():
            if is_low_rank(shape, rank):
                none[name] = Factors(*(center.new_zeros(1, side, rank) for side in shape))
            else:
                none[name] = center.new_zeros(1, shape.numel())
        draws, signs = center.new_zeros(1, dtype=torch.int64), center.new_zeros(1)
        return Population(center, torch.ones_like(center), slices, none, draws, signs)

    def own(self, name: str) -> Tensor:
        """A tensor of every member in full, (P, *shape)."""
        where, noise = self.slices[name], self.noise[name]
        center, std = self.center[where], self.std[where]
        if isinstance(noise, Factors):
            drawn = torch.bmm(noise.left[self.draws], noise.right[self.draws].transpose(1, 2)).flatten(1)
        else:
            drawn = noise[self.draws]
        return (center + self.signs.unsqueeze(1) * std * drawn).view(len(self), *self.slices.shapes[name])

    def scaled(self, name: str) -> Factors:
        """Of a tensor with factors, those of every member, whose product is its deviation from the center."""
        left, right = self.noise[name]
        size = self.signs * self.std[self.slices[name]][0]
        return Factors(left[self.draws] * size.view(-1, 1, 1), right[self.draws])

    def dense(self) -> Tensor:
        """All vectors in full, (P, D)."""
        return torch.cat([self.own(name).flatten(1) for name in self.slices], 1)

    def weighted_sum(self, weights: Tensor) -> Tensor:
        """sum_k w_k d_k, (D,), of the deviations d_k of the members from the center; weights (P,)."""
        total = torch.empty_like(self.center)
        for name, where in self.slices.items():
            noise = self.noise[name]
            each = self._by_draw(weights, self.signs, noise)
            if isinstance(noise, Factors):
                left, right = (noise.left * each.view(-1, 1, 1)).transpose(0, 1).flatten(1), noise.right
                summed = (left @ right.transpose(1, 2).reshape(left.shape[1], -1)).flatten()
            else:
                summed = each @ noise
            torch.mul(summed, self.std[where], out=total[where])
        return total

    def square_sum(self, weights: Tensor) -> Tensor:
        """sum_k w_k d_k^2, (D,); in a matrix its mean over the matrix, in every place; weights (P,)."""
        total = torch.empty_like(self.center)
        for name, where in self.slices.items():
            noise = self.noise[name]
            each = self._by_draw(weights, self.signs.square(), noise)
            if isinstance(noise, Factors):
                grams = (torch.bmm(side.transpose(1, 2), side) for side in noise)  # (K, r, r) each
                squares = torch.mul(*grams).sum((1, 2))  # |A B^T|^2 is the sum of A^T A times B^T B, place by place
                summed = (each @ squares / (where.stop - where.start)).expand(where.stop - where.start)
            else:
                summed = each @ noise.square()
            torch.mul(summed, self.std[where].square(), out=total[where])
        return total

    def _by_draw(self, weights: Tensor, factors: Tensor, noise: Tensor | Factors) -> Tensor:
        """Weights of members (P,), times factors (P,), added up by their draws, (K,)."""
        draws = noise.left if isinstance(noise, Factors) else noise
        weighted = weights.to(factors.device) * factors
        return draws.new_zeros(len(draws)).index_add(0, self.draws, weighted.to(draws))


class WithCenter:
    """Vectors (P, D) and the center (D,) as number P, without a copy of them all."""

    def __init__(self, vectors: Tensor, center: Tensor) -> None:
        self._vectors, self._center = vectors, center
        self.shape = len(vectors) + 1, len(center)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Tensor:
        """One (D,), or those of some rows (n,), in their order."""
        last = len(self._vectors)
        if isinstance(rows, int):
            return self._center if rows == last else self._vectors[rows]
        found = self._vectors[rows.clamp(max=last - 1)]
        found[rows == last] = self._center
        return found


class LowRankNoise:
    """Noise A B^T / sqrt r for each matrix (m, n), with normal A (m, r) and B (n, r), and plain noise for all else.

    Each number of it has mean 0 and variance 1, and no two are correlated.

    Args:
        slices: Where each tensor lies, :attr:`ParamVector.slices`.
        rank: r, at least 1.
    """

    def __init__(self, slices: Slices | None, rank: int) -> None:
        self.rank = check_count("noise_rank", rank, at_least=1)
        if not isinstance(slices, Slices):
            raise ValueError(f"noise_rank needs slices=, ParamVector's, to know what is a matrix, got {slices!r}")
        self.slices = slices

    def draw(
        self, center: Tensor, std: Tensor, count: int, generator: torch.Generator, *, mirrored: bool
    ) -> Population:
        """A population (P, D) around a center, as :func:`torchpolicy.vectors.gaussian.draw`."""
        draws = count // 2 if mirrored else count
        noise: dict[str, Tensor | Factors] = {}
        for name, shape in self.slices.shapes.items():
            if is_low_rank(shape, self.rank):
                left, right = (self._normal((draws, size, self.rank), center, generator) for size in shape)
                noise[name] = Factors(left, right / self.rank**0.5)
            else:
                noise[name] = self._normal((draws, shape.numel()), center, generator)
        each, signs = torch.arange(draws, device=center.device), center.new_ones(draws)
        if mirrored:
            each, signs = each.repeat_interleave(2), torch.stack([signs, -signs], 1).flatten()
        return Population(center, std, self.slices, noise, each, signs)

    def check_std(self, std: Tensor) -> None:
        """Refuse a std (D,) that is not the same in all of a matrix.

        Raises:
            ValueError: With the matrix.
        """
        for name, shape in self.slices.shapes.items():
            part = std[self.slices[name]]
            if is_low_rank(shape, self.rank) and not (part == part[0]).all():
                raise ValueError(f"with noise_rank, std should be one number in all of {name}, got several")

    @staticmethod
    def _normal(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
        """From the CPU, whatever the device."""
        return torch.randn(tuple(shape), generator=generator, dtype=like.dtype).to(like.device)


def numbers_each(slices: Slices, rank: int | None) -> int:
    """Numbers that a member's own weights take: all of them, or with a rank its factors and what has none."""
    if rank is None:
        return slices.dim
    return sum(rank * sum(shape) if is_low_rank(shape, rank) else shape.numel() for shape in slices.shapes.values())


def is_low_rank(shape: Sequence[int], rank: int) -> bool:
    """Whether factors of that rank are fewer numbers than the tensor has."""
    return len(shape) == 2 and rank * sum(shape) < shape[0] * shape[1]
