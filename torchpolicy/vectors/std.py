"""Standard deviations of a search: checked at the start, and kept within bounds."""

import torch
from torch import Tensor

SMALLEST = 1e-18
"""The smallest standard deviation: the square of a smaller one is no number in float32."""

WIDEST = 1e8
"""The largest standard deviation, in units of the first one. Where a score does not depend on the scale of the
weights, as a linear policy's, nothing else keeps it from growing without end."""


def check_std(std: float | Tensor, center: Tensor) -> Tensor:
    """A standard deviation, one number or (D,), as a vector (D,) like `center`.

    Raises:
        ValueError: If it is neither, or not positive and finite.
    """
    try:
        vector = torch.as_tensor(std, dtype=center.dtype).to(center.device)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        vector = torch.empty(0, 0)
    if isinstance(std, bool) or vector.ndim > 1 or (vector.ndim == 1 and vector.shape != center.shape):
        raise ValueError(f"std must be a number or a vector of shape {tuple(center.shape)}, got {std!r}")
    if not (vector.isfinite() & (vector > SMALLEST)).all():
        raise ValueError(f"std must be positive and finite, got {std!r}")
    return vector.expand_as(center).clone()


def clamp_std(std: Tensor, initial: Tensor, min_std: float) -> tuple[Tensor, float]:
    """`std` (D,) between `min_std` and `WIDEST` times its `initial` value, and the share of it that is at the floor."""
    lowest = lowest_std(initial, min_std)
    clamped = std.clamp(lowest, WIDEST * initial)
    return clamped, float((clamped == lowest).double().mean())


def lowest_std(initial: Tensor, min_std: float) -> Tensor:
    """The floor of a standard deviation, (D,): `min_std` times its `initial` value, and never below `SMALLEST`."""
    return (min_std * initial).clamp(min=SMALLEST)
