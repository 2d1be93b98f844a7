from collections import Counter

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from worlds import Broken, Endless, Guess, GuessFrom5, Lengths

from torchpolicy import LinearPolicy, MLPPolicy, ParamVector, Policy, Rollout
from torchpolicy.envs import base
from torchpolicy.envs.base import Environment
from torchpolicy.envs.gym import gym_environment
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout


def play_by_hand(environment: Environment, policy: Policy, seed: int) -> tuple[float, int]:
    """An episode, as anybody would write it."""
    env = environment.make_slots(1, np.dtype(np.float32))._make()  # type: ignore[attr-defined]
    observation, _ = env.reset(seed=seed)
    total, length, over = 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        total, length, over = total + float(reward), length + 1, terminated or truncated
    return total, length


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1", GuessFrom5])
@pytest.mark.parametrize("kind", [LinearPolicy, MLPPolicy])
def test_returns_and_lengths_are_those_of_episodes_played_by_hand(env: str, kind: type[Policy]) -> None:
    environment = gym_environment(env)
    policy = kind(environment.observation_space, environment.action_space)
    vector = ParamVector(policy.net)
    candidates = vector.read() + torch.randn(3, vector.dim, generator=torch.Generator().manual_seed(0))
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(candidates, [11, 12])
    for candidate in range(3):
        vector.write(candidates[candidate])
        for episode, seed in enumerate([11, 12]):
            total, length = play_by_hand(environment, policy, seed)
            tolerance = 1e-2 if env == "Pendulum-v1" else 0  # a batch's last bits differ, and grow
            assert outcome.returns[candidate, episode] == pytest.approx(total, rel=tolerance)
            assert outcome.lengths[candidate, episode] == length
    assert outcome.env_steps == outcome.lengths.sum()


@pytest.mark.parametrize("sampled", [False, True])
def test_a_result_depends_on_neither_slot_nor_company(sampled: bool) -> None:
    """Each candidate alone, in a used engine and in another order: the same bits as all together."""
    environment = gym_environment("CartPole-v1")
    policy = MLPPolicy(environment.observation_space, environment.action_space)
    candidates = torch.randn(50, ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    seeds = [5, 6, 7]
    with Rollout(environment, policy) as rollout:
        together = rollout.play(candidates, seeds, sampled=sampled)
        backwards = rollout.play(candidates.flip(0), seeds[::-1], sampled=sampled)
        alone = [rollout.play(candidates[i : i + 1], seeds, sampled=sampled).returns[0] for i in range(0, 50, 7)]
    np.testing.assert_array_equal(backwards.returns[::-1, ::-1], together.returns)
    np.testing.assert_array_equal(alone, together.returns[::7])


def test_sampled_actions_follow_the_episode_and_differ_from_greedy_ones() -> None:
    environment = gym_environment("CartPole-v1")
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    candidates = ParamVector(policy.net).read()[None]
    with Rollout(environment, policy) as rollout:
        sampled = rollout.play(candidates, range(20), sampled=True)
        greedy = rollout.play(candidates, range(20))
    assert (sampled.lengths != greedy.lengths).any()


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_what_is_collected_is_what_happened(name: str) -> None:
    """Played again by hand, with the recorded choices, each episode shows and earns the same."""
    environment = gym_environment(name, max_episode_steps=30)
    policy = MLPPolicy(*environment.spaces, hidden=(8,))
    seeds = list(range(40))
    with Rollout(environment, policy) as rollout:
        outcome, episodes = rollout.collect(seeds)
        _, backwards = rollout.collect(seeds[::-1])
    assert outcome.returns.shape == (1, 40)
    np.testing.assert_allclose(episodes.returns(), outcome.returns[0])
    assert episodes.lengths.tolist() == outcome.lengths[0].tolist()
    env = gymnasium.make(name, max_episode_steps=30)
    for number in (0, 17, 39):
        one = episodes.select(torch.arange(40) == number)
        other = backwards.select(torch.arange(40) == 39 - number)
        assert all(torch.equal(value, other.as_dict()[key]) for key, value in one.as_dict().items())
        observation, _ = env.reset(seed=number)
        for t in range(len(one.rewards)):
            np.testing.assert_array_equal(one.observations[t], observation)
            action = policy.head.to_env(policy.head.to_actions(one.choices[t : t + 1]).detach())[0]
            observation, reward, *ends, _ = env.step(action)
            assert one.rewards[t] == reward
            assert any(ends) == (t == len(one.rewards) - 1)


@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1"])
@pytest.mark.parametrize("backend", ["gymnasium", "native"])
def test_episodes_with_one_seed_begin_alike_and_have_other_action_noise(name: str, backend: str) -> None:
    environment = make_environment(name, max_episode_steps=30, backend=backend)
    policy = MLPPolicy(*environment.spaces, hidden=(8,))
    with make_rollout(environment, policy) as rollout:
        _, once = rollout.collect([5, 6])
        _, thrice = rollout.collect([5, 6] * 3)
    assert thrice.seeds.tolist() == [5, 6] * 3
    first = thrice.select(torch.arange(6) < 2)
    assert all(torch.equal(value, once.as_dict()[key]) for key, value in first.as_dict().items())
    begins = thrice.observations[thrice.times == 0]
    assert torch.equal(begins, begins[:2].repeat(3, 1))
    courses = {tuple(thrice.choices[thrice.owners == number].tolist()) for number in range(6)}
    assert len(courses) == 6


def test_a_failed_episode_is_not_among_the_collected() -> None:
    environment = gym_environment(Broken)
    policy = LinearPolicy(*environment.spaces)
    ParamVector(policy.net).write(torch.tensor([0.0] * 4 + [2.0, -2.0]))  # mostly action 0, which does not fail
    with Rollout(environment, policy) as rollout:
        outcome, episodes = rollout.collect(range(60))
    fine = np.isfinite(outcome.returns[0])
    assert 0 < fine.sum() < 60
    assert episodes.lengths.tolist() == outcome.lengths[0][fine].tolist()


def test_only_live_environments_are_stepped_and_slots_are_refilled() -> None:
    stepped: Counter[int] = Counter()

    class Counted(Lengths):
        def step(self, action: int) -> object:
            stepped[id(self)] += 1
            return super().step(action)

    environment = gym_environment(Counted)
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(1, ParamVector(policy.net).dim), range(2000))
    np.testing.assert_array_equal(outcome.returns, outcome.lengths)
    assert stepped.total() == outcome.env_steps
    assert len(stepped) == 32
    assert outcome.slot_utilisation > 0.95


def test_fewer_episodes_than_slots() -> None:
    environment = gym_environment(Guess)
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy, slots=64) as rollout:
        assert rollout.play(torch.zeros(2, 12), [1]).lengths.tolist() == [[10], [10]]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "OddError: left and right"),
        ("observation", "observation is not finite"),
        ("reward", "sum of rewards is not finite: nan"),
        ("None", "reward is None, expected a number"),
    ],
)
def test_a_failure_costs_the_candidate_and_nothing_else(how: str, message: str) -> None:
    environment = gym_environment(Broken, {"how": how})
    policy = LinearPolicy(environment.observation_space, environment.action_space, bias=True)
    vector = ParamVector(policy.net)
    always = torch.zeros(2, vector.dim)
    always[0, vector.slices["bias"]] = torch.tensor([1.0, 0.0])
    always[1, vector.slices["bias"]] = torch.tensor([0.0, 1.0])
    candidates = always[[0, 1, 0, 1] * 20]
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(candidates, [3, 4])
        again = rollout.play(candidates, [3, 4])
    assert np.isnan(outcome.scores[1::2]).all()
    assert (outcome.scores[::2] == outcome.scores[0]).all()
    assert len(outcome.failures) == 80
    first = outcome.failures[0]
    assert (first.candidate, first.episode, first.seed) == (1, 0, 3)
    assert {failure.step for failure in outcome.failures} == {1}
    assert message in str(first)
    np.testing.assert_array_equal(again.returns, outcome.returns)


def test_weights_that_overflow_fail_before_the_environment_is_stepped() -> None:
    stepped: list[int] = []

    class Watched(Guess):
        def step(self, action: int) -> object:
            stepped.append(action)
            return super().step(action)

    environment = gym_environment(Watched)
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    candidates = torch.zeros(2, 12)
    candidates[1] = torch.nan
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(candidates, [1])
    assert outcome.failures[0].reason.startswith("output of the network is not finite")
    assert len(stepped) == 10


def test_an_episode_that_never_ends_is_cut_off_and_its_return_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.envs.gym_slots.RUNAWAY_STEPS", 500)
    assert base.RUNAWAY_STEPS == 100_000
    environment = gym_environment(Endless)
    assert environment.time_limit is None
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(1, 2), [0])
        assert rollout.longest == 500
    assert not outcome.failures
    assert outcome.returns.tolist() == [[500]]
    assert outcome.truncated.tolist() == [[True]]
    limited = gym_environment(Endless, max_episode_steps=70)
    with Rollout(limited, policy) as rollout:
        assert rollout.play(torch.zeros(1, 2), [0]).returns.tolist() == [[70]]


def test_misfits_are_named() -> None:
    cartpole, pendulum = gym_environment("CartPole-v1"), gym_environment("Pendulum-v1")
    policy = LinearPolicy(cartpole.observation_space, cartpole.action_space)
    with pytest.raises(ValueError, match=r"the policy takes observations from .*Pendulum-v1 gives"):
        Rollout(pendulum, policy)
    with pytest.raises(ValueError, match="slots must be a positive multiple of 32, got 20"):
        Rollout(cartpole, policy, slots=20)


def test_dropout_is_off_while_playing() -> None:
    environment = gym_environment("CartPole-v1")
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    policy = Policy(net, environment.observation_space, environment.action_space).train()
    candidates = ParamVector(net).read()[None]
    with Rollout(environment, policy) as rollout:
        first, second = rollout.play(candidates, range(5)), rollout.play(candidates, range(5))
    np.testing.assert_array_equal(first.returns, second.returns)


def odd_observation(kind: object) -> type[Guess]:
    class Odd(Guess):
        def _observe(self) -> object:
            super()._observe()
            return kind if self.np_random.random() < 0.3 else self._numbers

        def reset(self, *, seed: int | None = None, options: object = None) -> object:
            super(Guess, self).reset(seed=seed)
            self._steps = 0
            return Guess._observe(self), {}

    return Odd


@pytest.mark.parametrize("kind", [0.5, np.zeros(1), np.zeros((1, 3)), np.zeros(4)])
def test_an_observation_of_another_shape_fails_the_episode(kind: object) -> None:
    environment = gym_environment(odd_observation(kind))
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(3, 12), [0])
    assert f"observation has shape {np.shape(kind)} of float64, its space has shape (3,)" in str(outcome.failures[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [9, -1, 3.5, None])
def test_a_discrete_observation_out_of_its_space_fails_the_episode(value: object) -> None:
    class Odd(Lengths):
        def step(self, action: int) -> object:
            return value, *super().step(action)[1:]

    environment = gym_environment(Odd)
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(1, 4), [0])
    assert f"observation is {value!r}, its space is 3 to 4" in str(outcome.failures[0])


def test_a_failing_companion_leaves_an_episodes_noise_alone() -> None:
    environment = gym_environment("CartPole-v1")
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    candidates = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    broken = candidates.clone()
    broken[::2] = torch.nan
    with Rollout(environment, policy) as rollout:
        whole, some = (rollout.play(each, [1, 2], sampled=True) for each in (candidates, broken))
    np.testing.assert_array_equal(some.returns[1::2], whole.returns[1::2])
    assert np.isnan(some.returns[::2]).all()
    assert not some.lengths[::2].any()


def test_candidates_of_another_dimension_are_refused() -> None:
    environment = gym_environment(Guess)
    policy = LinearPolicy(environment.observation_space, environment.action_space)
    with Rollout(environment, policy) as rollout, pytest.raises(ValueError, match=r"\(P, 12\), got \(3, 1\)"):
        rollout.play(torch.zeros(3, 1), [0])
