"""An episode is a pure function of its seed and the actions."""

from itertools import count
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from worlds import Wordy

from torchpolicy.envs.base import Environment, EnvSlots
from torchpolicy.envs.gym import gym_environment
from torchpolicy.envs.make import make_environment

IDS = ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "FrozenLake-v1"]


def trace(slots: EnvSlots, slot: int, seed: int, actions: list[object]) -> list[object]:
    assert slots.reset(slot, seed) is None
    seen: list[object] = [slots.observations[slot].copy()]
    for action in actions:
        ended, failed = slots.step([slot], {slot: action})
        assert not failed
        seen += [slots.observations[slot].copy(), slots.rewards[slot], bool(ended)]
        if ended:
            break
    return seen


@pytest.mark.parametrize("name", IDS)
def test_fresh_and_used_play_the_same_episode(name: str) -> None:
    environment = gym_environment(name)
    dtype = np.dtype(np.int64 if name == "FrozenLake-v1" else np.float32)
    slots = environment.make_slots(3, dtype)
    environment.action_space.seed(0)
    actions = [environment.action_space.sample() for _ in range(60)]
    fresh = trace(slots, 0, 7, actions)
    other = trace(slots, 1, 8, actions)
    used = trace(slots, 1, 7, actions)
    assert str(fresh) == str(used)
    assert name == "FrozenLake-v1" or str(fresh) != str(other)
    slots.close()


def test_facts_of_an_environment() -> None:
    cartpole = gym_environment("CartPole-v1")
    assert (cartpole.reward_threshold, cartpole.time_limit) == (475, 500)
    assert gym_environment("CartPole-v1", max_episode_steps=77).time_limit == 77
    assert gym_environment("Pendulum-v1").reward_threshold is None
    calm = gym_environment("FrozenLake-v1", {"is_slippery": False})
    assert calm.name == "FrozenLake-v1"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v7", "CartPole"),
        ("CartPol-v1", "Did you mean: `CartPole`"),
        ("no.such:thing", "cannot import 'no.such'"),
        ("math:nothing", "'math' has no 'nothing'"),
        ("math:pi", "env must be a Gymnasium id or a callable"),
        (7, "env must be a Gymnasium id or a callable that returns a gymnasium.Env, got 7"),
        (dict, "dict should return a gymnasium.Env, got dict"),
        (lambda: 1 / 0, "making <lambda> failed: ZeroDivisionError"),
        (Wordy, "observation space Text"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_line(env: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_environment(env)  # type: ignore[arg-type]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*args: object, **kwargs: object) -> None:
        raise gymnasium.error.DependencyNotInstalled('Box2D is not installed, run `pip install "gymnasium[box2d]"`')

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.raises(ValueError, match="pip install"):
        gym_environment("LunarLander-v3")


class Endless(gymnasium.Env[Any, Any]):
    """Never ends, and tells how often it was made."""

    observation_space, action_space = Box(-1, 1, (1,)), Discrete(2)
    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def __len__(self) -> int:
        return 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(1, np.float32), 1.0, False, False, {}


class Strict(Endless):
    def reset(self, seed: int, options: Any) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class Trials(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Three episodes of the inside make one."""

    def reset(self, **settings: Any) -> Any:
        self.left = 3
        return self.env.reset(**settings)

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.left -= terminated or truncated
        if truncated and self.left:
            observation, _ = self.env.reset()
            return observation, reward, False, False, info
        return observation, reward, terminated, truncated, info


def lengths(environment: Environment, slots: int = 1) -> list[int]:
    """Steps of an episode in each slot."""
    envs, found = environment.make_slots(slots, np.dtype(np.float32)), []
    for slot in range(slots):
        assert envs.reset(slot, 0) is None
        found.append(next(t for t in count(1) if envs.step([slot], [0] * slots)[0]))
        assert envs.truncated[slot]
    return found


@pytest.mark.parametrize(
    ("make", "asked", "expected"),
    [
        (lambda: TimeLimit(OrderEnforcing(Endless()), 10), None, 10),
        (lambda: TimeLimit(Endless(), 10), 4, 4),
        (lambda: TimeLimit(TimeLimit(Endless(), 7), 10), None, 7),
        (lambda: Trials(TimeLimit(Endless(), 10)), None, 30),
        (lambda: Trials(TimeLimit(Endless(), 10)), 25, 25),
        (lambda: Endless(), 12, 12),
    ],
)
def test_slots_keep_the_limits_that_wrappers_have(make: Any, asked: int | None, expected: int) -> None:
    assert lengths(gym_environment(make, max_episode_steps=asked)) == [expected]


def test_each_environment_has_its_own_limit() -> None:
    limits = iter([10, 20, 30, 40])
    assert lengths(gym_environment(lambda: TimeLimit(Endless(), next(limits))), slots=2) == [30, 40]


def test_a_reset_goes_through_all_wrappers() -> None:
    assert lengths(gym_environment(lambda: TimeLimit(OrderEnforcing(Strict()), 5))) == [5]


def test_an_environment_is_made_once_for_each_slot() -> None:
    environment = gym_environment(Endless, max_episode_steps=3)
    slots, before = environment.make_slots(1, np.dtype(np.float32)), Endless.made
    for seed in range(4):
        slots.reset(0, seed)
    assert Endless.made == before + 1
