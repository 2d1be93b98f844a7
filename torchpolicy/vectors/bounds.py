"""Bounds of a search, which candidates are reflected at."""

import torch
from torch import Tensor

Bound = float | Tensor
"""One number for all entries of a vector, or one for each, (D,). It may be infinite."""


class Bounds:
    """The box that candidates and center stay in.

    Args:
        bounds: The lower and the upper bound.
        center: (D,), where the search starts, inside of the box.

    Attributes:
        low, high: (D,), the bounds.

    Raises:
        ValueError: If the bounds are no two numbers or vectors (D,), a lower one is not below the upper one, or the
            center is outside.
    """

    def __init__(self, bounds: tuple[Bound, Bound], center: Tensor) -> None:
        try:
            low, high = (
                torch.as_tensor(each, dtype=center.dtype).to(center.device).expand_as(center).clone() for each in bounds
            )
        except (TypeError, ValueError, RuntimeError) as error:
            expected = f"(low, high), each a number or a vector of shape {tuple(center.shape)}"
            raise ValueError(f"bounds must be {expected}, got {bounds!r}") from error
        if not (low < high).all():
            raise ValueError("bounds must have low < high in every entry")
        if not ((low <= center) & (center <= high)).all():
            raise ValueError("center must be within the bounds")
        self.low, self.high = low, high

    def reflect(self, vectors: Tensor) -> Tensor:
        """Vectors (N, D) whose entries outside are mirrored at the bounds, as often as that takes."""
        width = self.high - self.low
        folded = self.low + width - ((vectors - self.low).remainder(2 * width) - width).abs()
        once = torch.where(vectors < self.low, 2 * self.low - vectors, 2 * self.high - vectors)
        mirrored = self.clamp(torch.where(width.isfinite(), folded, once))
        return torch.where((vectors < self.low) | (vectors > self.high), mirrored, vectors)

    def clamp(self, vectors: Tensor) -> Tensor:
        """Vectors (…, D) whose entries outside are set to the nearest bound."""
        return vectors.clamp(self.low, self.high)
