"""When a run ends, and what it says before: budgets, targets, failures, returns that are all equal."""

from typing import Any

import pytest
import torch
from quick import quick, weights
from worlds import Broken, Endless, Guess

import torchpolicy as tp
from torchpolicy import RunError


def test_stops_at_the_target_and_not_before() -> None:
    result = tp.train("CartPole-v1", "cem", seed=0, target=150)
    assert result.metrics[-1]["eval/ci_low"] >= 150
    assert all(row.get("eval/ci_low", 0) < 150 for row in result.metrics[:-1])
    unreachable = quick("CartPole-v1", target=501)
    assert len(unreachable.metrics) == 3


def test_budgets() -> None:
    assert len(quick(generations=2).metrics) == 2
    steps = [row["rollout/env_steps"] for row in quick(generations=None, total_steps=250).metrics]
    assert steps == [90, 170, 250]
    assert quick(generations=None, seconds=0.3).metrics[-1]["time/elapsed"] > 0.2
    assert len(quick("CartPole-v1", generations=2, total_steps=10**9, seconds=1000).metrics) == 2


def test_episodes_average_the_score() -> None:
    result = quick(episodes=3)
    assert result.metrics[0]["rollout/episodes"] == 27


def test_an_environment_that_fails_mostly_stops_the_run_and_says_why() -> None:
    with pytest.raises(
        RunError, match=r"(?s)candidates failed in Broken, the second generation running.*OddError: left"
    ):
        quick(Broken, env_args={"how": "raise"}, policy_args={"bias": False})


def test_an_environment_that_fails_sometimes_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    class Rarely(Guess):
        def step(self, action: int) -> Any:
            if self._steps == 5 and action == 1:
                raise RuntimeError("numbers too large")
            return super().step(action)

    result = quick(Rarely, population=32, episodes=2, seed=2)
    assert sum(row["search/failed"] for row in result.metrics) > 0
    assert weights(result).isfinite().all()
    err = capsys.readouterr().err
    assert "failed: candidate" in err
    assert "numbers too large" in err


def test_equal_returns_are_reported_and_move_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    result = quick(Endless, max_episode_steps=5, generations=12)
    assert all(row["search/stalled"] for row in result.metrics)
    assert "for 10 generations all episodes have run to the time limit" in capsys.readouterr().err
    start = tp.LinearPolicy(Endless.observation_space, Endless.action_space)
    assert torch.equal(weights(result), tp.ParamVector(start.net).read())


def test_a_missing_time_limit_is_said_once_an_episode_is_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(Guess, generations=1)
    assert "time limit" not in capsys.readouterr().err
    monkeypatch.setattr("torchpolicy.training.watch.LONG_STEPS", 300)
    monkeypatch.setattr("torchpolicy.training.watch.RUNAWAY_STEPS", 500)
    monkeypatch.setattr("torchpolicy.envs.gym_slots.RUNAWAY_STEPS", 400)
    quick(Endless, generations=2, population=2)
    err = capsys.readouterr().err
    assert err.count("an episode of Endless took 400 steps, and no time limit is known") == 1
    assert "cut off after 500 steps, as" not in err
    monkeypatch.setattr("torchpolicy.envs.gym_slots.RUNAWAY_STEPS", 500)
    result = quick(Endless, generations=2, population=2)
    assert capsys.readouterr().err.count("an episode of Endless was cut off after 500 steps, as at a time limit") == 1
    assert result.evaluation.mean == 500
