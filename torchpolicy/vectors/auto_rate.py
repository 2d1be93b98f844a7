"""Learning rates that follow the signal-to-noise ratio of the updates.

Nomura, Akimoto & Ono (2024), "CMA-ES with learning rate adaptation", arXiv 2401.15876, section 4.
"""

from math import exp
from typing import Any

import torch
from torch import Tensor

RATIO, MEMORY, GAMMA = 1.4, 0.1, 0.1
"""The paper's alpha, the ratio of signal to noise over the learning rate that is aimed at; beta, the weight of the last
update in the averages; and gamma."""

TINY = 1e-30
"""The least that the noise of the updates is taken for."""


class AutoRate:
    """A factor of a learning rate, at most 1, in proportion to the signal-to-noise ratio of the updates.

    With averages E of the updates and V of their squared lengths:

        ratio  =  (|E|^2 - beta / (2 - beta) V) / (V - |E|^2)
        factor <- min(1, factor exp(min(gamma factor, beta) clip(ratio / (alpha factor) - 1, -1, 1)))

    Args:
        like: (D,), a vector of the shape, dtype and device of the updates.

    Attributes:
        factor: What the learning rate is to be multiplied by.
        mean: (D,), E.
        square: V.
    """

    def __init__(self, like: Tensor) -> None:
        self.factor = 1.0
        self.mean = torch.zeros_like(like)
        self.square = 0.0

    def follow(self, update: Tensor) -> tuple[float, float]:
        """Take in one more update of the center.

        Args:
            update: (D,), in units of the noise around the center.

        Returns:
            The factor, and by how much the noise is to be wider, where the search finds its scale itself: a center that
            moves by less needs wider noise to make the most of it.
        """
        before = self.factor
        self.mean = torch.lerp(self.mean, update, MEMORY)
        self.square += MEMORY * (float(update.square().sum()) - self.square)
        length = float(self.mean.square().sum())
        ratio = (length - MEMORY / (2 - MEMORY) * self.square) / max(self.square - length, TINY)
        change = min(1.0, max(-1.0, ratio / (RATIO * self.factor) - 1))
        self.factor = min(1.0, self.factor * exp(min(GAMMA * self.factor, MEMORY) * change))
        return self.factor, before / self.factor

    def state_dict(self) -> dict[str, Any]:
        """The factor and the averages, by their names."""
        return {"factor": self.factor, "mean": self.mean.clone(), "square": self.square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it does not fit.
        """
        mean, factor, square = state.get("mean"), state.get("factor"), state.get("square")
        if not isinstance(mean, Tensor) or mean.shape != self.mean.shape or not mean.isfinite().all():
            raise ValueError(f"mean should be a finite tensor of shape {tuple(self.mean.shape)}")
        if not isinstance(factor, float) or not 0 < factor <= 1:
            raise ValueError(f"factor should be a number above 0 and at most 1, got {factor!r}")
        if not isinstance(square, float) or not square >= 0:
            raise ValueError(f"square should be a number of at least 0, got {square!r}")
        self.factor, self.mean, self.square = factor, mean.to(self.mean, copy=True), square
