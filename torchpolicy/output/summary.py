"""Summaries of several seeds: interquartile means with bootstrap intervals.

Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep reinforcement learning at the edge of the statistical
precipice".
"""

import numpy as np

from torchpolicy.base.types import Array


def iqm(values: Array) -> Array:
    """Interquartile means (…,) of values (…, N): means of the middle half, whose outermost entries count in part."""
    edges = np.linspace(0, 1, values.shape[-1] + 1)
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    means: Array = np.sort(values, axis=-1) @ weights / weights.sum()
    return means


def iqm_interval(values: Array, resamples: int = 5000) -> tuple[Array, Array]:
    """Low and high ends, (…,) and (…,), of 95 % bootstrap intervals of the interquartile means of values (…, N)."""
    rng = np.random.default_rng(0)
    count = values.shape[-1]
    means = np.stack([iqm(values[..., rng.integers(0, count, count)]) for _ in range(resamples)])
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high
