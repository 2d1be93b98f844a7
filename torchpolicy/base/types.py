"""Names of types that everybody uses."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Metrics = dict[str, float]
"""Scalars by name, ``group/name``, for whoever writes them."""
