"""Populations that hold every number of every vector."""

from dataclasses import dataclass
from math import ceil, nan
from typing import Any

import torch
from torch import Tensor

from torchpolicy.vectors.factors import Factors
from torchpolicy.vectors.gaussian import weighted_sum, weighted_sums
from torchpolicy.vectors.low_rank import LowRankPopulation
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Candidates, Population


def as_population(candidates: Candidates, center: Tensor) -> Population:
    """Candidates (P, D) as a population; vectors get the center (D,), its dtype and its device."""
    if isinstance(candidates, Population):
        return candidates
    return DensePopulation(torch.as_tensor(candidates, dtype=center.dtype, device=center.device), center)


@dataclass(frozen=True, eq=False)
class DensePopulation(Population):
    """Vectors around a center.

    Attributes:
        vectors: (P, D).
        center: (D,), of the same dtype and on the same device.
    """

    vectors: Tensor
    center: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.vectors.shape)

    @property
    def rank(self) -> int | None:
        return None

    def __getitem__(self, rows: Any) -> "DensePopulation":
        return DensePopulation(self.vectors[rows].reshape(-1, self.shape[1]), self.center)

    def with_center(self) -> "DensePopulation":
        return WithCenter(self.vectors, self.center)

    def of_rank(self, rank: int, slices: Slices) -> LowRankPopulation:
        if len(self) != 1:
            raise ValueError(
                f"with noise_rank, candidates are a population of that rank, or one vector: got vectors {self.shape}"
            )
        return LowRankPopulation.of_center(self.dense()[0], slices, rank)

    def own(self, name: str, where: slice) -> Tensor:
        return self.dense()[:, where]

    def factors(self, name: str, where: slice) -> Factors:
        raise TypeError(f"vectors have no factors in {name}: see of_rank")

    def dense(self) -> Tensor:
        return self.vectors

    def finite(self) -> Tensor:
        suspect = ~self.dense().sum(1).isfinite()  # one sum is much faster than a look at each number
        if suspect.any():
            suspect[suspect.clone()] = ~self.dense()[suspect].isfinite().all(1)
        return ~suspect.cpu()

    def weighted_sum(self, weights: Tensor) -> Tensor:
        return weighted_sum(self.dense(), self.center, weights)

    def weighted_sums(self, weights: Tensor, square_weights: Tensor) -> tuple[Tensor, Tensor]:
        return weighted_sums(self.dense(), self.center, weights, square_weights)

    def thinned(self, numbers: int) -> "DensePopulation":
        every = ceil(len(self) * len(self.center) / numbers)
        return DensePopulation(self.dense()[:, ::every], self.center[::every])

    def sum_over_chance(self, weights: Tensor, *, mirrored: bool) -> float:
        deviations = self.dense() - self.center
        weights = weights.to(deviations)
        if mirrored:
            deviations, weights = deviations[0::2], weights[0::2] - weights[1::2]
        variance = deviations.square().mean(0)
        moved = variance > 0
        chance = weights.square().sum() * moved.sum()
        return float(((weights @ deviations).square() / variance)[moved].sum() / chance) if chance > 0 else nan


class WithCenter(DensePopulation):
    """Vectors (P, D) and the center (D,) as number P, without a copy of them all until somebody wants them all."""

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.vectors) + 1, len(self.center)

    def __getitem__(self, rows: int | Tensor) -> DensePopulation:
        """One member, or those of rows (n,) in their order."""
        last = len(self.vectors)
        if isinstance(rows, int):
            found = (self.center if rows == last else self.vectors[rows]).unsqueeze(0)
        else:
            found = self.vectors[rows.clamp(max=last - 1)]
            found[rows == last] = self.center
        return DensePopulation(found, self.center)

    def dense(self) -> Tensor:
        return torch.cat([self.vectors, self.center.unsqueeze(0)])
