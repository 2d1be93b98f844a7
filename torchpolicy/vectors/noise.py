"""How a search draws candidates around its center: every number on its own, or with a low rank in every matrix."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from torchpolicy.base.checks import check_count
from torchpolicy.vectors.factors import Factors, Plain
from torchpolicy.vectors.gaussian import draw
from torchpolicy.vectors.low_rank import LowRankPopulation, is_low_rank, sides_of
from torchpolicy.vectors.params import Slices
from torchpolicy.vectors.population import Candidates


class Noise(ABC):
    """Draws candidates center + std * noise; each number of the noise has mean 0 and variance 1, and no two correlate.

    Args:
        mirrored: Whether candidates come in pairs, rows 2i and 2i + 1 on either side of the center.

    Attributes:
        rank: The rank of the noise in each matrix; None for noise of every number on its own.
    """

    rank: int | None = None

    def __init__(self, *, mirrored: bool = False) -> None:
        self.mirrored = mirrored

    @abstractmethod
    def check_std(self, std: Tensor) -> None:
        """Refuse a std (D,) that this noise cannot have.

        Raises:
            ValueError: If it cannot. The message says why.
        """

    @abstractmethod
    def draw(self, center: Tensor, std: Tensor, count: int, generator: torch.Generator) -> Candidates:
        """Candidates (P, D) around a center (D,), with a std (D,); the generator is the CPU's, whatever the device."""


class DenseNoise(Noise):
    """Noise of every number on its own; candidates are a tensor (P, D)."""

    def check_std(self, std: Tensor) -> None:
        pass

    def draw(self, center: Tensor, std: Tensor, count: int, generator: torch.Generator) -> Tensor:
        return draw(center, std, count, generator, mirrored=self.mirrored)


class LowRankNoise(Noise):
    """Noise A B^T / sqrt r for each matrix (m, n), with normal A (m, r) and B (n, r), and of every other number alone.

    Kernels (out, in, height, width) count as a matrix (out, in height width).

    Args:
        slices: Where each tensor lies in a vector, ``ParamVector(module).slices``.
        rank: r, at least 1.
        mirrored: Whether candidates come in pairs, rows 2i and 2i + 1 on either side of the center.

    Raises:
        ValueError: If the rank is no count, or there are no slices.
    """

    def __init__(self, slices: Slices | None, rank: int, *, mirrored: bool = False) -> None:
        super().__init__(mirrored=mirrored)
        self.rank = self._rank = check_count("noise_rank", rank, at_least=1)
        if not isinstance(slices, Slices):
            raise ValueError(f"noise_rank needs slices=, ParamVector's, to know what is a matrix, got {slices!r}")
        self._slices = slices

    def check_std(self, std: Tensor) -> None:
        if self._slices.dim != len(std):
            raise ValueError(f"slices are of {self._slices.dim} numbers, center has {len(std)}")
        for name, shape in self._slices.shapes.items():
            part = std[self._slices[name]]
            if is_low_rank(shape, self._rank) and not (part == part[0]).all():
                raise ValueError(f"with noise_rank, std should be one number in all of {name}, got several")

    def draw(self, center: Tensor, std: Tensor, count: int, generator: torch.Generator) -> LowRankPopulation:
        draws = count // 2 if self.mirrored else count
        noise: dict[str, Factors | Plain] = {}
        for name, shape in self._slices.shapes.items():
            if is_low_rank(shape, self._rank):
                left, right = (_normal((draws, size, self._rank), center, generator) for size in sides_of(shape))
                noise[name] = Factors(left, right / self._rank**0.5)
            else:
                noise[name] = Plain(_normal((draws, shape.numel()), center, generator))
        each, signs = torch.arange(draws, device=center.device), center.new_ones(draws)
        if self.mirrored:
            each, signs = each.repeat_interleave(2), torch.stack([signs, -signs], 1).flatten()
        return LowRankPopulation(center, std, self._slices, noise, each, signs)


def make_noise(rank: int | None, slices: Slices | None, *, mirrored: bool) -> Noise:
    """Noise of a rank in each matrix, for which slices are needed; without a rank, of every number on its own."""
    return DenseNoise(mirrored=mirrored) if rank is None else LowRankNoise(slices, rank, mirrored=mirrored)


def _normal(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    """Normal numbers of a shape, drawn on the CPU and moved to where `like` is."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype).to(like.device)
