"""Environments of JAX through the door for vector environments; skipped where JAX or gymnax is not installed."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from quick import quick, weights

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

jax = pytest.importorskip("jax")
JaxVector = pytest.importorskip("torchpolicy.envs.jax_vector").JaxVector


def drift(num_envs: int = 20) -> Any:
    """A point that drifts at random and is pushed back; the episode ends when it is far off."""

    def reset(key: Any) -> Any:
        place = jax.random.normal(key, (1,))
        return place, place

    def step(key: Any, place: Any, action: Any) -> Any:
        place = place + 0.3 * jax.random.normal(key, (1,)) + action
        return place, place, -abs(place[0]), abs(place[0]) > 3, False

    spaces = Box(-np.inf, np.inf, (1,)), Box(-1, 1, (1,))
    return JaxVector(reset, step, *spaces, num_envs)


def test_episodes_are_those_of_their_seeds_in_any_slot_and_process() -> None:
    assert make_environment(drift, max_episode_steps=30).seeded
    arguments: dict[str, Any] = {"max_episode_steps": 30, "episodes": 2, "generations": 5}
    whole = quick(drift, **arguments)
    quick(drift, run_dir="part", **arguments | {"generations": 2})
    assert torch.equal(weights(tp.resume("part", env=drift, generations=5)), weights(whole))


def test_tensors_cross_without_a_copy() -> None:
    env = drift(4)
    env.reset(seed=1)
    seen, rewards, terminated, _, _ = env.step(torch.zeros(4, 1))
    assert (seen.dtype, rewards.shape, terminated.dtype) == (torch.float32, (4,), torch.bool)
    assert seen.data_ptr() == env._now[0].unsafe_buffer_pointer()


@pytest.mark.filterwarnings("ignore")
def test_cartpole_of_gymnax_is_solved() -> None:
    pytest.importorskip("gymnax")
    gymnax_vector = pytest.importorskip("torchpolicy.envs.jax_vector").gymnax_vector
    make = partial(gymnax_vector, "CartPole-v1", 64)
    environment = make_environment(make)
    policy = tp.LinearPolicy(*environment.spaces)
    with make_rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.randn(50, tp.ParamVector(policy.net).dim), range(3))
    np.testing.assert_array_equal(outcome.returns, outcome.lengths)
    assert tp.train(make, "cem", seed=0, target=475, total_steps=300_000).evaluation.mean >= 475
