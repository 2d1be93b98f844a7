"""Weight vectors around a center, whatever they are kept as."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from torchpolicy.vectors.factors import Factors
from torchpolicy.vectors.params import Slices


class Population(ABC):
    """P weight vectors of length D, each a center plus a deviation.

    A :class:`DensePopulation` holds every number of every vector, a :class:`LowRankPopulation` only factors of the
    deviations. Both answer the same questions, so that nobody who takes candidates asks which of the two they are.

    Attributes:
        center: (D,), the vector that deviations are measured from.
    """

    center: Tensor

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(P, D)."""

    @property
    @abstractmethod
    def rank(self) -> int | None:
        """The rank of the factors that matrices deviate by; None where every number deviates on its own."""

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers."""
        return self.center.dtype

    @abstractmethod
    def __getitem__(self, rows: Any) -> "Population":
        """The members of some rows, in their order; one row is a population of one."""

    @abstractmethod
    def with_center(self) -> "Population":
        """The same members, and the center after them as one more."""

    @abstractmethod
    def of_rank(self, rank: int, slices: Slices) -> "Population":
        """The same members with factors of a rank, for those who keep one matrix for all of them.

        Raises:
            ValueError: If their deviations have no such factors.
        """

    @abstractmethod
    def own(self, name: str, where: slice) -> Tensor:
        """Every member's numbers of the tensor `name`, which lie at `where` in its vector, (P, n)."""

    @abstractmethod
    def factors(self, name: str, where: slice) -> Factors:
        """Factors of every member's deviation in the matrix `name`, for those of a low rank."""

    @abstractmethod
    def dense(self) -> Tensor:
        """All vectors in full, (P, D)."""

    @abstractmethod
    def finite(self) -> Tensor:
        """Whether all numbers of a member are finite, (P,) on the CPU."""

    @abstractmethod
    def weighted_sum(self, weights: Tensor) -> Tensor:
        """sum_k w_k d_k, (D,), of the deviations d_k of the members from the center; weights w (P,)."""

    @abstractmethod
    def weighted_sums(self, weights: Tensor, square_weights: Tensor) -> tuple[Tensor, Tensor]:
        """sum_k w_k d_k and sum_k v_k d_k^2, (D,) each; w and v (P,).

        Where a matrix deviates by factors, its squares are their mean over the matrix, in every place.
        """

    @abstractmethod
    def thinned(self, numbers: int) -> "Population":
        """The same members, with no more than about so many numbers in all to look at, evenly spaced."""

    @abstractmethod
    def sum_over_chance(self, weights: Tensor, *, mirrored: bool) -> float:
        """The squared length of the weighted sum of the noise, over what chance would give; NaN if chance gives 0.

        Args:
            weights: (P,) float64.
            mirrored: Whether rows 2i and 2i + 1 lie on either side of the center.
        """


Candidates = Tensor | Population
"""What a search asks for and is told about: vectors (P, D), or a population of them."""
