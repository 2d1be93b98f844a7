"""The update's sign flipped would turn these red. Longer runs, over more seeds, are in ``experiments/``."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from worlds import Copy, GuessFrom5

import torchpolicy as tp


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_cem_solves_cartpole(seed: int) -> None:
    assert tp.train("CartPole-v1", "cem", seed=seed).evaluation.mean >= 475


@pytest.mark.slow
def test_cem_learns_frozen_lake_with_a_one_hot_linear_softmax() -> None:
    result = tp.train("FrozenLake-v1", "cem", seed=0, total_steps=200_000, episodes=5, population=100)
    assert tp.ParamVector(result.policy.net).dim == 64
    first = result.metrics[0]["rollout/ep_rew_mean"]
    assert first < 0.1
    assert result.evaluation.mean > 0.4


@pytest.mark.slow
def test_cem_improves_pendulum_with_an_mlp() -> None:
    result = tp.train(
        "Pendulum-v1", "cem", policy_args={"hidden": (16,)}, seed=0, total_steps=400_000, std_smoothing=0.5
    )
    first = result.metrics[0]["rollout/ep_rew_mean"]
    assert result.evaluation.mean > first + 400


def test_cem_learns_a_shifted_discrete_space() -> None:
    result = tp.train(GuessFrom5, "cem", seed=0, generations=15)
    assert result.evaluation.mean > 8
    assert np.isfinite(result.evaluation.ci).all()


def test_cem_learns_a_box_of_float64_from_a_scalar_observation() -> None:
    result = tp.train(Copy, "cem", generations=30, seed=0)
    assert result.evaluation.mean > result.metrics[0]["rollout/ep_rew_mean"] / 3


CARTPOLES = {
    "make_vec": partial(gymnasium.make_vec, "CartPole-v1", 64),
    "sync": partial(SyncVectorEnv, [partial(gymnasium.make, "CartPole-v1")] * 16),
    "async": partial(AsyncVectorEnv, [partial(gymnasium.make, "CartPole-v1")] * 4),
}
"""Vector environments that begin their episodes as they like."""


@pytest.mark.parametrize("name", ["make_vec", *(pytest.param(n, marks=pytest.mark.slow) for n in ("sync", "async"))])
def test_cem_solves_vector_environments_of_cartpole(name: str) -> None:
    assert tp.train(CARTPOLES[name], "cem", seed=0, target=475, total_steps=300_000).evaluation.mean >= 475


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", list(CARTPOLES))
def test_deep_cem_solves_vector_environments_of_cartpole(name: str) -> None:
    settings: dict[str, Any] = {"policy_args": {"hidden": (20, 20)}, "epochs": 8, "target": 475}
    assert tp.train(CARTPOLES[name], "deepcem", seed=0, **settings).evaluation.mean >= 475
