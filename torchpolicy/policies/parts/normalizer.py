"""Observations brought to mean 0 and standard deviation 1, by running moments."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from torchpolicy.base.types import Array

LIMIT = 10.0
"""Normalised observations are clipped to it, on either side."""

FLAT = 1e-6
"""Standard deviation, relative to the mean, up to which an entry counts as constant, and is only shifted."""


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

    def frozen(self, dtype: torch.dtype, device: torch.device | str) -> Callable[[Tensor], Tensor]:
        """The function as it is now, for observations of a dtype on a device."""
        if self.count == 0:
            return lambda observations: observations
        mean, std = self.mean.to(device, dtype), self.std.to(device, dtype)
        return lambda observations: ((observations - mean) / std).clamp_(-LIMIT, LIMIT)

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
