"""Finding what is not finite among numbers of many slots."""

import numpy as np

from torchpolicy.base.types import Array


def why_not_finite(name: str, value: Array) -> str | None:
    """That a value is not finite, if it is not."""
    return None if np.isfinite(value).all() else f"{name} is not finite: {value}"


def find_not_finite(name: str, live: list[int], rows: Array) -> dict[int, str]:
    """The live slots whose row is not finite, and that it is so."""
    if np.isfinite(rows).all():
        return {}
    reasons = {slot: why_not_finite(name, rows[slot]) for slot in live}
    return {slot: reason for slot, reason in reasons.items() if reason is not None}
