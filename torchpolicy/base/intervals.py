"""95 % intervals of a mean, from few numbers or many.

Of few, the interval is Student's: a bootstrap of 5 numbers covers the mean in 84 % of cases instead of 95 %. Of many it
is the bootstrap's, corrected for bias and skewness, Efron (1987), "Better bootstrap confidence intervals", and widened
as much as Student's is wider than the normal one, Hesterberg (2015), "What teachers should know about the bootstrap".
"""

from statistics import NormalDist

import numpy as np

from torchpolicy.base.types import Array

MANY = 30
"""Numbers from which on the bootstrap is trusted."""

RESAMPLES, AT_ONCE = 2000, 2**20
"""Resamples of the bootstrap, and numbers that it holds at a time."""

STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048),
)
"""97.5 % quantiles of Student's distribution with 1 to 28 degrees of freedom."""

NORMAL = NormalDist()


def mean_interval(values: Array) -> tuple[float, float]:
    """Low and high end of the 95 % interval of the mean of values (N,).

    Equal values have an interval without width: :func:`share_of_others` says what it leaves open. NaN where there is
    no interval: of a single value, and of values that are not finite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    if (values == values[0]).all():
        return float(values[0]), float(values[0])
    return _student(values) if len(values) < MANY else _bootstrap(values)


def share_of_others(count: int) -> float:
    """The share of other values, at most, where `count` values were all equal; in 95 % of cases."""
    return float(1 - 0.05 ** (1 / count))


def _student(values: Array) -> tuple[float, float]:
    count = len(values)
    reach = STUDENT[count - 2] * values.std(ddof=1) / count**0.5
    return float(values.mean() - reach), float(values.mean() + reach)


def _bootstrap(values: Array) -> tuple[float, float]:
    count, mean, rng = len(values), values.mean(), np.random.default_rng(0)
    rows = max(1, AT_ONCE // count)
    blocks = [min(rows, RESAMPLES - begin) for begin in range(0, RESAMPLES, rows)]
    means = np.concatenate([values[rng.integers(0, count, (block, count))].mean(1) for block in blocks])
    below = (means < mean).mean() + (means == mean).mean() / 2
    bias = NORMAL.inv_cdf(min(max(float(below), 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    deviations = values - mean  # those of the means without one value are in proportion to them
    skewness = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    reach = _student_quantile(count - 1) * (count / (count - 1)) ** 0.5
    low, high = np.quantile(means, [_level(bias, skewness, end) for end in (-reach, reach)])
    return float(low), float(high)


def _student_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's distribution; the first terms of a series, for many degrees of freedom."""
    z = NORMAL.inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom)


def _level(bias: float, skewness: float, end: float) -> float:
    """The quantile of the resampled means at an end of the interval, in standard errors; Efron's equation 2.3."""
    z = bias + end
    return NORMAL.cdf(bias + z / (1 - skewness * z))
