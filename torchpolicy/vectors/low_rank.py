"""Populations whose noise has a low rank in every matrix: a million weights, and no member's matrix is ever formed.

Sarkar et al. (2025), "Evolution strategies at the hyperscale" (EGGROLL), arXiv 2511.16652.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan, prod
from typing import Any

import torch
from torch import Tensor

from torchpolicy.vectors.factors import Factors, Plain
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Population


@dataclass(frozen=True, eq=False)
class LowRankPopulation(Population):
    """Weight vectors center + sign * std * noise, kept as what they are made of.

    Attributes:
        center: (D,).
        std: (D,), the same number in all of a matrix.
        slices: Where each tensor lies in a vector.
        noise: K draws of noise for each tensor, by its name.
        draws: (P,) int64, the draw that each member has.
        signs: (P,), 1 or -1, or 0 for a member that is the center.
    """

    center: Tensor
    std: Tensor
    slices: Slices
    noise: Mapping[str, Factors | Plain]
    draws: Tensor
    signs: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.draws), len(self.center)

    @property
    def rank(self) -> int | None:
        return next((noise.rank for noise in self.noise.values() if noise.rank), None)

    def __getitem__(self, rows: Any) -> "LowRankPopulation":
        return replace(self, draws=self.draws[rows].reshape(-1), signs=self.signs[rows].reshape(-1))

    def with_center(self) -> "LowRankPopulation":
        draws, signs = (torch.cat([each, each.new_zeros(1)]) for each in (self.draws, self.signs))
        return replace(self, draws=draws, signs=signs)

    def of_rank(self, rank: int, slices: Slices) -> "LowRankPopulation":
        return self

    @staticmethod
    def of_center(center: Tensor, slices: Slices, rank: int) -> "LowRankPopulation":
        """A population of one member, the center (D,), with factors of a rank that are all zero."""
        none: dict[str, Factors | Plain] = {}
        for name, shape in slices.shapes.items():
            if is_low_rank(shape, rank):
                none[name] = Factors(*(center.new_zeros(1, side, rank) for side in sides_of(shape)))
            else:
                none[name] = Plain(center.new_zeros(1, shape.numel()))
        draws, signs = center.new_zeros(1, dtype=torch.int64), center.new_zeros(1)
        return LowRankPopulation(center, torch.ones_like(center), slices, none, draws, signs)

    def own(self, name: str, where: slice) -> Tensor:
        return self.center[where] + self.signs.unsqueeze(1) * self.std[where] * self.noise[name].full(self.draws)

    def factors(self, name: str, where: slice) -> Factors:
        return self.noise[name].scaled(self.draws, self.signs * self.std[where][0])

    def dense(self) -> Tensor:
        return torch.cat([self.own(name, where) for name, where in self.slices.items()], 1)

    def finite(self) -> Tensor:
        return torch.ones(len(self), dtype=torch.bool)  # drawn from a std and around a center that are finite

    def weighted_sum(self, weights: Tensor) -> Tensor:
        total, each = torch.empty_like(self.center), self._by_draw(weights, self.signs)
        for name, where in self.slices.items():
            torch.mul(self.noise[name].weighted_sum(each), self.std[where], out=total[where])
        return total

    def weighted_sums(self, weights: Tensor, square_weights: Tensor) -> tuple[Tensor, Tensor]:
        total, each = torch.empty_like(self.center), self._by_draw(square_weights, self.signs.square())
        for name, where in self.slices.items():
            torch.mul(self.noise[name].square_sum(each), self.std[where].square(), out=total[where])
        return self.weighted_sum(weights), total

    def _by_draw(self, weights: Tensor, factors: Tensor) -> Tensor:
        """Weights of members (P,), times factors (P,), added up by their draws, (K,)."""
        count = len(next(iter(self.noise.values()))[0])
        weighted = weights.to(factors.device) * factors
        return self.center.new_zeros(count).index_add(0, self.draws, weighted.to(self.center))

    def thinned(self, numbers: int) -> "LowRankPopulation":
        return self  # all numbers of a weighted sum cost less than those of some vectors

    def sum_over_chance(self, weights: Tensor, *, mirrored: bool) -> float:
        along = self.weighted_sum(weights) / self.std  # each number of the noise has variance 1
        by_draw = weights.new_zeros(int(self.draws.max()) + 1)
        by_draw.index_add_(0, self.draws.cpu(), weights * self.signs.cpu())
        chance = float(by_draw.square().sum()) * len(along)
        return float(along.double().square().sum() / chance) if chance > 0 else nan


def numbers_each(slices: Slices, rank: int | None) -> int:
    """How many numbers a member's own weights take: all of them, or factors of that rank where these are fewer."""
    return sum(
        rank * sum(sides_of(shape)) if rank and is_low_rank(shape, rank) else shape.numel()
        for shape in slices.shapes.values()
    )


def is_low_rank(shape: Sequence[int], rank: int | None) -> bool:
    """Whether a tensor has noise of that rank: a matrix or kernels, whose factors are fewer numbers than it has."""
    return rank is not None and len(shape) >= 2 and rank * sum(sides_of(shape)) < prod(shape)


def sides_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a tensor as a matrix; kernels (out, in, height, width) have a row for each that comes out."""
    return shape[0], prod(shape[1:])
