"""Finding the slots whose numbers are not finite."""

import numpy as np
from torch import Tensor

from torchpolicy.base.types import Array


def why_not_finite(name: str, value: Array) -> str | None:
    """A message that `value` is not finite, or None if it is."""
    return None if np.isfinite(value).all() else f"{name} is not finite: {value}"


def find_not_finite(name: str, live: list[int], rows: Array | Tensor) -> dict[int, str]:
    """Messages, by slot, for the live slots whose row is not finite.

    Args:
        name: What the rows are, such as "reward".
        live: The slots to look at.
        rows: (S, …), one row for each slot.
    """
    if isinstance(rows, Tensor):
        if rows.isfinite().all():
            return {}
        rows = rows.numpy(force=True)
    elif np.isfinite(rows).all():
        return {}
    reasons = {slot: why_not_finite(name, rows[slot]) for slot in live}
    return {slot: reason for slot, reason in reasons.items() if reason is not None}
