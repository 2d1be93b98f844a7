"""Brax through the door for environments of JAX; skipped where it is not installed."""

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

import torchpolicy as tp
from torchpolicy.envs.make import make_environment

pytest.importorskip("brax")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(600)]


def pendulums(num_envs: int = 32) -> Any:
    """Brax's inverted pendulum, which earns 1 for each step until it falls."""
    from brax import envs

    from torchpolicy.envs.jax_vector import JaxVector

    env = envs.get_environment("inverted_pendulum", backend="generalized")

    def reset(key: Any) -> Any:
        state = env.reset(key)
        return state.obs, state

    def step(key: Any, state: Any, action: Any) -> Any:
        state = env.step(state, action)
        return state.obs, state, state.reward, state.done > 0, False

    seen, taken = Box(-np.inf, np.inf, (env.observation_size,)), Box(-1, 1, (env.action_size,))
    return JaxVector(reset, step, seen, taken, num_envs)


def test_a_pendulum_of_brax_is_balanced() -> None:
    assert make_environment(pendulums, max_episode_steps=100).seeded
    settings: dict[str, Any] = {"max_episode_steps": 100, "population": 32, "eval_episodes": 20, "std": 1.0}
    found = tp.train(pendulums, "snes", policy="linear", seed=0, target=None, generations=15, **settings)
    assert found.metrics[0]["rollout/ep_rew_mean"] < 50
    assert found.evaluation.mean > 90
