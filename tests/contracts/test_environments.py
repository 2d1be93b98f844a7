"""An episode is a pure function of its seed and the actions."""

import gymnasium
import numpy as np
import pytest
from worlds import Wordy

from torchpolicy.envs.base import EnvSlots
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
