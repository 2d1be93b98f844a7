"""Each native environment against Gymnasium's, over whole episodes; a new file is tested here by itself."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from gymnasium.utils.seeding import np_random

from torchpolicy import LinearPolicy, MLPPolicy, ParamVector, Policy
from torchpolicy.envs.make import make_environment, twins
from torchpolicy.rollout.make import make_rollout

pytestmark = pytest.mark.parametrize("name", sorted(twins()))


def test_it_says_of_itself_what_gymnasiums_does(name: str) -> None:
    env, twin = gymnasium.make(name), twins()[name]()
    assert (env.observation_space, env.action_space) == (twin.observation_space, twin.action_space)
    assert env.spec is not None
    assert (env.spec.reward_threshold, env.spec.max_episode_steps) == (twin.reward_threshold, twin.time_limit)


@pytest.mark.parametrize("episodes", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_step_by_step_it_is_gymnasiums(name: str, episodes: int) -> None:
    """Starts, observations, rewards and ends: the same bits, or for rewards that are not, nearly so."""
    twin, envs = twins()[name](), [gymnasium.make(name, disable_env_checker=True) for _ in range(episodes)]
    starts = np.stack([twin.initial(np_random(seed)[0]) for seed in range(episodes)], 1)
    state = torch.from_numpy(starts).unbind()
    first = np.stack([env.reset(seed=seed)[0] for seed, env in enumerate(envs)])
    np.testing.assert_array_equal(torch.stack(twin.observation(state), 1).float(), first)
    rng, live, ends = np.random.default_rng(0), list(range(episodes)), 0
    for t in range(twin.time_limit):
        if isinstance(twin.action_space, Discrete):
            held = np.full(episodes, (t // 50) % twin.action_space.n)
            actions = held if t % 50 < 25 else rng.integers(0, twin.action_space.n, episodes)
        else:
            actions = rng.uniform(twin.action_space.low, twin.action_space.high, (episodes, 1)).astype(np.float32)
        given = torch.from_numpy(actions)
        after = twin.transition(state, given)
        rewards, observations, over = (
            twin.reward(state, given, after),
            torch.stack(twin.observation(after), 1).float(),
            twin.terminal(after),
        )
        for i in list(live):
            observation, reward, terminated, truncated, _ = envs[i].step(actions[i])
            np.testing.assert_array_equal(observations[i], observation)
            assert float(rewards[i]) == reward if twin.bit_equal else abs(float(rewards[i]) - reward) < 1e-9
            assert bool(over[i]) == terminated
            if terminated or truncated:
                live.remove(i)
                ends += terminated
        state = after
    assert not live
    assert ends > 0 or name.startswith(("Pendulum", "MountainCar"))


@pytest.mark.parametrize("kind", [LinearPolicy, pytest.param(MLPPolicy, marks=pytest.mark.slow)])
def test_a_population_earns_what_it_does_in_gymnasiums(name: str, kind: type[Policy]) -> None:
    """Over whole episodes, more than there are slots for, beside the moments for a normaliser."""
    there, here = make_environment(name, backend="gymnasium"), make_environment(name, backend="native")
    policy = kind(*there.spaces)
    policy.normalize()
    candidates = torch.randn(20, ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    with make_rollout(there, policy) as gym, make_rollout(here, policy) as native:
        expected, outcome = (rollout.play(candidates, [3, 4], observe=True) for rollout in (gym, native))
        np.testing.assert_array_equal(outcome.lengths, expected.lengths)
        np.testing.assert_array_equal(outcome.moments, expected.moments)
        compare = np.testing.assert_array_equal if twins()[name].bit_equal else np.testing.assert_allclose
        compare(outcome.returns, expected.returns)
        sampled, recorded = gym.collect(range(50))
        others, episodes = native.collect(range(50))
        np.testing.assert_array_equal(others.lengths, sampled.lengths)
        for key in ("observations", "choices", "lengths"):
            assert torch.equal(episodes.as_dict()[key], recorded.as_dict()[key])


def test_a_step_that_ends_an_episode_is_found_in_some_episode(name: str) -> None:
    """The test above has seen ends by the environment itself where a policy can bring them about in time."""
    numbers = len(twins()[name]().initial(np.random.default_rng(0)))
    state = torch.tensor([0.0, 2.5, -2.5]).double(), *torch.zeros(numbers - 1, 3).double()
    over = twins()[name]().terminal(state).tolist()
    expected = {"CartPole-v1": [False, True, True], "Pendulum-v1": [False] * 3, "Acrobot-v1": [False, True, True]}
    assert over == expected.get(name, [False, True, False])
