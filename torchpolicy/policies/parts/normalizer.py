"""Normalising observations to mean 0 and standard deviation 1, with running moments."""

from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn

from torchpolicy.base.types import Array

LIMIT = 10.0
"""Normalised observations are clipped to the interval from -LIMIT to LIMIT."""

FLAT = 1e-6
"""An entry whose standard deviation is at most this, relative to its mean, counts as constant: it is shifted only."""


class Normalization(NamedTuple):
    """What a normaliser does while a generation is played: a function from inputs (*B, *O) to inputs (*B, *O).

    Attributes:
        mean: (*O), in the dtype of the inputs.
        std: (*O), in the dtype of the inputs.
        limit: Where results are clipped on either side: a number, or a tensor of shape ().
    """

    mean: Tensor
    std: Tensor
    limit: float | Tensor

    def __call__(self, inputs: Tensor) -> Tensor:
        """Normalised inputs."""
        scaled = (inputs - self.mean) / self.std
        return scaled.clamp_(-self.limit, self.limit)  # type: ignore[arg-type]  # both are tensors, or both numbers

    def entry(self, index: int) -> "Normalization":
        """The same for one entry of a vector alone."""
        return Normalization(self.mean[index], self.std[index], self.limit)


class Normalizer(nn.Module):
    """Computes (observation - mean) / std, clipped, with the mean and std of all observations told to :meth:`update`.

    Mean and std stay the same while a generation is played, and are part of a policy's saved state. Before the
    first update, observations pass unchanged.

    Args:
        shape: O, the shape of one encoded observation.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(shape, dtype=torch.float64))  # sum of squared deviations from mean

    @property
    def std(self) -> Tensor:
        """Standard deviations (*O), float64; 1 for an entry that was always the same."""
        if self.count == 0:
            return torch.ones_like(self.mean)
        std = (self.squares / self.count).sqrt()
        return torch.where(std > FLAT * self.mean.abs().clamp(min=FLAT), std, 1.0)

    def forward(self, observations: Tensor) -> Tensor:
        """Normalised observations (*B, *O)."""
        return self.frozen(observations.dtype, observations.device)(observations)

    def frozen(self, dtype: torch.dtype, device: torch.device | str) -> Normalization:
        """The function as it is now, for observations of a dtype on a device."""
        limit = LIMIT if self.count else inf  # before the first update the mean is 0 and the std 1
        return Normalization(self.mean.to(device, dtype), self.std.to(device, dtype), limit)

    @torch.no_grad()
    def update(self, moments: Array, counts: Array) -> None:
        """Take in the observations that were seen since the last update.

        Args:
            moments: (W, 2, *O) float64: for each of W pieces of work, the sum of the observations' deviations from the
                present mean, and the sum of their squares. They are added up in this order, whoever did the work.
            counts: (W,), the number of observations in each piece of work.
        """
        new = float(counts.sum())
        if new == 0:
            return
        first, second = torch.from_numpy(moments.sum(0))
        shift = (first / new).to(self.mean.device)
        squares = (second - first * first / new).clamp(min=0).to(self.mean.device)
        total = self.count + new
        self.squares += squares + shift * shift * (self.count * new / total)
        self.mean += shift * (new / total)
        self.count.copy_(total)


class Moments:
    """Adds up the observations of S episodes side by side, for :meth:`Normalizer.update`.

    Args:
        normalizer: The normaliser whose present mean is subtracted from the observations.
        slots: S, the number of episodes side by side.
        device: Where the observations are.
    """

    def __init__(self, normalizer: Normalizer, slots: int, device: torch.device) -> None:
        self._mean = normalizer.mean.to(device)
        self._deviations = self._mean.new_zeros((slots, *self._mean.shape))
        self.sums = self._mean.new_zeros((slots, 2, *self._mean.shape))
        """(S, 2, *O): sums of deviations and of their squares, of the episodes in progress."""
        self._first, self._second = self.sums.unbind(1)

    def restart(self, slot: int) -> None:
        """Begin another episode in a slot."""
        self.sums[slot] = 0

    def add(self, observations: Tensor) -> None:
        """Add one observation for each slot, (S, *O)."""
        deviations = torch.sub(observations, self._mean, out=self._deviations)
        self._first += deviations
        self._second += deviations.square_()

    def of(self, slot: int) -> Array | None:
        """(2, *O), the sums of the episode in a slot."""
        return self.sums[slot].numpy(force=True)


class NoMoments(Moments):
    """Adds up nothing, where nobody is to be told."""

    def __init__(self) -> None:
        pass

    def restart(self, slot: int) -> None:
        pass

    def add(self, observations: Tensor) -> None:
        pass

    def of(self, slot: int) -> None:
        pass
