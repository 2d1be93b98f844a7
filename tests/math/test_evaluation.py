import numpy as np
import pytest

from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.rollout.outcome import Failure


def evaluation(returns: object, failures: list[Failure] | None = None) -> Evaluation:
    values = np.asarray(returns, dtype=float)
    return Evaluation(values, np.ones(len(values), np.int64), failures or [])


def test_interval_covers_the_true_mean_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    intervals = [evaluation(rng.exponential(size=100)).ci for _ in range(400)]
    covered = np.mean([low <= 1 <= high for low, high in intervals])
    assert 0.91 < covered < 0.98


def test_the_interval_of_many_stays_in_the_range_of_returns() -> None:
    low, high = evaluation([500] * 99 + [100]).ci
    assert 476 <= low < 490
    assert high == 500
    assert evaluation([500] * 100).ci == (500, 500)


def test_one_episode_has_no_interval() -> None:
    assert np.isnan(evaluation([3]).ci).all()
    assert evaluation([3]).std == 0


def test_returns_that_are_all_equal_are_said_to_be() -> None:
    said = str(evaluation([500] * 100))
    assert said.endswith("500.0 to 500.0, over 100 episodes, all equal (up to 3 % of others may differ)")
    assert str(evaluation([1] * 5)).endswith("all equal (up to 45 % of others may differ)")
    assert "equal" not in str(evaluation([1, 2, 3, 4]))


def test_a_failure_is_not_averaged_away() -> None:
    failed = evaluation([1, np.nan], [Failure(0, 1, 7, 3, "reward is not finite: nan")])
    assert np.isnan(failed.mean)
    assert np.isnan(failed.ci).all()
    assert "1 failed: candidate 0, episode 1 (seed 7), step 3: reward is not finite" in str(failed)


def test_numbers() -> None:
    scores = evaluation([1, 2, 3, 4])
    assert scores.mean == 2.5
    assert scores.std == pytest.approx(np.std([1, 2, 3, 4], ddof=1))
