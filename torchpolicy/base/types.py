"""Types that the whole package uses."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
"""A NumPy array of any shape and dtype."""

Metrics = dict[str, float]
"""Scalars by key ``group/name``, as writers take them."""
