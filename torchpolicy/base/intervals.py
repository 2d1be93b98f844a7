"""95 % intervals of a mean, from few numbers or many.

For few numbers the interval is Student's, because a bootstrap of 5 numbers covers the mean in 84 % of cases instead of
95 %. For many numbers it is a bootstrap interval with corrections for bias and skewness, Efron (1987), "Better
bootstrap confidence intervals". It is widened by the ratio of Student's interval to the normal one, Hesterberg (2015),
"What teachers should know about the bootstrap".
"""

from statistics import NormalDist

import numpy as np

from torchpolicy.base.types import Array

MANY = 30
"""The smallest number of values for which the bootstrap is used."""

RESAMPLES, AT_ONCE = 2000, 2**20
"""Number of bootstrap resamples, and the largest number of values in memory at a time."""

STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048),
)
"""97.5 % quantiles of Student's distribution with 1 to 28 degrees of freedom."""

NORMAL = NormalDist()

LARGE = 1e90
"""Values beyond this are scaled down before their interval is computed."""


def mean_interval(values: Array) -> tuple[float, float]:
    """Low and high end of the 95 % interval of the mean of values (N,).

    If all values are equal, the interval has no width, and :func:`share_of_others` says what remains uncertain. Both
    ends are NaN if there is only one value, or a value is not finite.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    if (values == values[0]).all():
        return float(values[0]), float(values[0])
    largest = float(np.abs(values).max())
    if largest > LARGE:  # whose third power is no number
        low, high = mean_interval(values / largest)
        return low * largest, high * largest
    return _student(values) if len(values) < MANY else _bootstrap(values)


def share_of_others(count: int) -> float:
    """Upper limit, at 95 % confidence, of the share of different values, after `count` values that were all equal."""
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
    deviations = values - mean  # the means that leave one value out deviate in proportion to these
    skewness = float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5))
    reach = _student_quantile(count - 1) * (count / (count - 1)) ** 0.5
    low, high = np.quantile(means, [_level(bias, skewness, end) for end in (-reach, reach)])
    return float(low), float(high)


def _student_quantile(freedom: int) -> float:
    """97.5 % quantile of Student's distribution with many degrees of freedom: the first terms of a series."""
    z = NORMAL.inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom)


def _level(bias: float, skewness: float, end: float) -> float:
    """The quantile of the resampled means at which the interval ends, Efron's equation 2.3.

    Args:
        bias: Correction of the bias, in standard errors.
        skewness: Correction of the skewness.
        end: The interval's uncorrected end, in standard errors from the mean.
    """
    z = bias + end
    return NORMAL.cdf(bias + z / (1 - skewness * z))
