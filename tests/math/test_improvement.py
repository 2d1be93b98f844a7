"""The probability of improvement against its definition, pair by pair, and its interval."""

import numpy as np
import pytest

from torchpolicy.output.summary import improvement, improvement_interval


def by_hand(ours: list[float], theirs: list[float]) -> float:
    """Agarwal et al. (2021), section 4.2: the mean over all pairs of S(x, y), which is 1, 0.5 at a tie, or 0."""
    shares = [1.0 if mine > other else 0.5 if mine == other else 0.0 for mine in ours for other in theirs]
    return sum(shares) / len(shares)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [([3.0, 4.0, 5.0], [1.0, 2.0]), ([1.0, 2.0, 2.0], [2.0, 3.0, 0.0, 2.0]), ([7.0, 7.0], [7.0, 7.0, 7.0])],
)
def test_it_is_the_share_of_pairs(ours: list[float], theirs: list[float]) -> None:
    assert improvement(np.array(ours), np.array(theirs)) == pytest.approx(by_hand(ours, theirs))
    assert improvement(np.array(theirs), np.array(ours)) == pytest.approx(1 - by_hand(ours, theirs))


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Two normal distributions one std apart: the truth is Phi(1 / sqrt(2)) = 0.760."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        low, high = improvement_interval(rng.normal(1, 1, 20), rng.normal(0, 1, 20), resamples=500)
        held += low <= 0.760 <= high
    assert 180 <= held <= 199


def test_the_interval_narrows_with_more_runs() -> None:
    rng = np.random.default_rng(2)
    widths = []
    for count in (5, 50):
        low, high = improvement_interval(rng.normal(1, 1, count), rng.normal(0, 1, count))
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
