"""Observations brought to mean 0 and standard deviation 1, by running moments."""

from math import inf
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from torchpolicy.base.types import Array

LIMIT = 10.0
"""Normalised observations are clipped to it, on either side."""

FLAT = 1e-6
"""Standard deviation, relative to the mean, up to which an entry counts as constant, and is only shifted."""


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
    """(observation - mean) / std, clipped, with the mean and std of all that :meth:`update` was told.

    They stay the same while a generation is played, and are part of a policy's saved state. Before the
    first update it changes nothing.

    Args:
        shape: Of one encoded observation, O.
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
        """(*O) float64; 1 for an entry that was always the same."""
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
        """Take in what was seen since.

        Args:
            moments: (W, 2, *O) float64, for each of W pieces of work the sum of its deviations from the
                present mean, and that of their squares. They are added up in this order, whoever did the work.
            counts: (W,), observations in each.
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
    """Adds up what the normaliser is to be told of, for each of S episodes side by side.

    Args:
        normalizer: Whose mean deviations are from.
        slots: S.
    """

    def __init__(self, normalizer: Normalizer, slots: int) -> None:
        self._mean = normalizer.mean.numpy(force=True)
        self._deviations = np.zeros((slots, *self._mean.shape))
        self.sums = np.zeros((slots, 2, *self._mean.shape))
        """(S, 2, *O), of the episodes in progress."""

    def restart(self, slot: int) -> None:
        """Begin another episode in a slot."""
        self.sums[slot] = 0

    def add(self, observations: Array) -> None:
        """Add one observation for each slot, (S, *O)."""
        deviations = np.subtract(observations, self._mean, out=self._deviations)
        self.sums[:, 0] += deviations
        self.sums[:, 1] += np.square(deviations, out=deviations)

    def of(self, slot: int) -> Array | None:
        """(2, *O), the sums of the episode in a slot."""
        sums: Array = self.sums[slot]
        return sums


class NoMoments(Moments):
    """Adds up nothing, where nobody is to be told."""

    def __init__(self) -> None:
        pass

    def restart(self, slot: int) -> None:
        pass

    def add(self, observations: Array) -> None:
        pass

    def of(self, slot: int) -> None:
        pass
