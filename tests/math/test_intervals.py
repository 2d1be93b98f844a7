"""How often the 95 % interval holds the mean, for few episodes and many."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest

from torchpolicy.base.intervals import mean_interval, share_of_others
from torchpolicy.base.types import Array

Draw = Callable[[np.random.Generator, int], Array]

RETURNS: dict[str, tuple[Draw, float]] = {  # what is drawn, and its mean
    "normal": (lambda rng, count: rng.normal(0, 1, count), 0.0),
    "exponential": (lambda rng, count: rng.exponential(1, count), 1.0),
    "few low": (lambda rng, count: -rng.exponential(1, count), -1.0),
    "two points": (lambda rng, count: (rng.random(count) < 0.5).astype(float), 0.5),
    "one in ten fails": (lambda rng, count: (rng.random(count) < 0.9).astype(float), 0.9),
}

COVERAGE = {  # by episodes: the share of intervals that hold the mean, measured on 20,000 (from 30 on, 4,000) of them
    "normal": {3: 0.952, 5: 0.950, 10: 0.951, 30: 0.942, 100: 0.943},
    "exponential": {3: 0.885, 5: 0.884, 10: 0.905, 30: 0.938, 100: 0.947},
    "few low": {3: 0.885, 5: 0.884, 10: 0.905, 30: 0.938, 100: 0.947},
    "two points": {3: 0.750, 5: 0.938, 10: 0.979, 30: 0.982, 100: 0.967},  # of 3, a quarter are all equal
    "one in ten fails": {3: 0.279, 5: 0.412, 10: 0.655, 30: 0.959, 100: 0.970},  # of 5, six in ten are all equal
}

FALSELY_PASSED = {  # the share of intervals above the mean: how often a target there would be passed; 0.025 is right
    "normal": {3: 0.023, 5: 0.025, 10: 0.025, 30: 0.025, 100: 0.028},
    "exponential": {3: 0.007, 5: 0.004, 10: 0.004, 30: 0.019, 100: 0.023},
    "few low": {3: 0.108, 5: 0.112, 10: 0.091, 30: 0.043, 100: 0.030},
    "two points": {3: 0.125, 5: 0.031, 10: 0.010, 30: 0.010, 100: 0.015},
    "one in ten fails": {3: 0.721, 5: 0.588, 10: 0.345, 30: 0.035, 100: 0.014},
}


@pytest.mark.parametrize("count", [3, 5, 10, 30, 100])
@pytest.mark.parametrize("kind", RETURNS)
def test_coverage_is_that_of_the_table(kind: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.base.intervals.RESAMPLES", 400)
    draw, mean = RETURNS[kind]
    rng, repeats = np.random.default_rng(0), 3000 if count < 30 else 500
    ends = np.array([mean_interval(draw(rng, count)) for _ in range(repeats)])
    covered = ((ends[:, 0] <= mean) & (mean <= ends[:, 1])).mean()
    passed = (ends[:, 0] > mean).mean()
    for measured, expected in ((covered, COVERAGE[kind][count]), (passed, FALSELY_PASSED[kind][count])):
        assert measured == pytest.approx(expected, abs=0.01 + 3 * (expected * (1 - expected) / repeats) ** 0.5)


@pytest.mark.parametrize("kind", ["exponential", "few low"])
def test_the_bootstrap_is_efrons_widened_as_hesterberg_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a reference with the jackknife written out, and Student's quantile for 39 degrees of freedom."""
    monkeypatch.setattr("torchpolicy.base.intervals.RESAMPLES", 20_000)
    values = RETURNS[kind][0](np.random.default_rng(1), 40)
    means = np.sort(np.random.default_rng(5).choice(values, (200_000, 40)).mean(1))
    bias = NormalDist().inv_cdf((means < values.mean()).mean())
    without = np.array([np.delete(values, i).mean() for i in range(40)])
    apart = without.mean() - without
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    reach = 2.0227 * (40 / 39) ** 0.5
    ends = []
    for z in (bias - reach, bias + reach):
        level = NormalDist().cdf(bias + z / (1 - acceleration * z))
        ends.append(means[int(level * len(means))])
    width = ends[1] - ends[0]
    assert mean_interval(values) == pytest.approx(ends, abs=0.02 * width)


def test_equal_returns_have_an_interval_without_width() -> None:
    assert mean_interval(np.full(100, 500.0)) == (500, 500)
    assert share_of_others(100) == pytest.approx(0.0295, abs=1e-4)
    assert share_of_others(5) == pytest.approx(0.451, abs=1e-3)


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [1.0, np.inf, 2.0]])
def test_there_is_none_of_one_value_or_of_one_that_is_not_finite(values: list[float]) -> None:
    assert np.isnan(mean_interval(np.array(values))).all()


def test_the_bootstrap_agrees_with_students_where_returns_are_many_and_normal() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    half = 1.966 * values.std(ddof=1) / 20
    assert mean_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


@pytest.mark.parametrize("count", [5, 100])
def test_the_interval_of_huge_values_is_that_of_small_ones_in_proportion(count: int) -> None:
    values = np.random.default_rng(0).normal(1, 2, count)
    small, huge = mean_interval(values), mean_interval(values * 1e300)
    np.testing.assert_allclose(np.array(huge) / 1e300, small, rtol=1e-9)
