"""Random numbers inside an episode on tensors: pure in the episode's seed, the same wherever it is played."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from quick import quick, weights
from torch import Tensor

import torchpolicy as tp
from torchpolicy import LinearPolicy, ParamVector, TensorEnv, TensorRollout
from torchpolicy.envs.make import make_environment


def reference(low: int, high: int, draw: int, index: int) -> float:
    """The same number in Python's whole numbers."""

    def mix(word: int) -> int:
        word = (word ^ (word >> 16)) * 0x7FEB352D % 2**32
        word = (word ^ (word >> 15)) * 0x846CA68B % 2**32
        return word ^ (word >> 16)

    drawn = mix((draw + 0x9E3779B9) % 2**32)
    return (mix((mix(drawn ^ (low + 2**16 * high)) + index * 0x9E3779B9) % 2**32) >> 8) / 2**24


def keys(seeds: range, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    made = np.stack([TensorEnv.new_key(np.random.default_rng(seed)) for seed in seeds], 1)
    return torch.from_numpy(made).to(dtype).unbind()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_those_of_whole_numbers(dtype: torch.dtype) -> None:
    key = keys(range(50), dtype)
    for draw in range(3):
        numbers, after = TensorEnv.uniform(key, 4)
        for index, number in enumerate(numbers):
            expected = [reference(int(a), int(b), draw, index) for a, b in zip(key[0], key[1], strict=True)]
            assert number.dtype == dtype
            assert number.tolist() == expected
        assert after[2].tolist() == [draw + 1] * 50
        key = after
    with pytest.raises(ValueError, match="key must be 3 tensors of the state, got 2"):
        TensorEnv.uniform(key[:2], 1)


def test_they_are_even_and_go_together_with_nothing() -> None:
    """Over episodes, draws and places: means, spread, and correlations of neighbours."""
    key, rows = keys(range(400)), []
    for _ in range(250):
        numbers, key = TensorEnv.uniform(key, 2)
        rows.append(torch.stack(numbers))
    drawn = torch.stack(rows).numpy()  # (draws, places, episodes)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 100, (0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 150  # chi squared with 99 degrees of freedom
    flat = drawn - 0.5
    for one, other in ((flat[:, 0], flat[:, 1]), (flat[1:], flat[:-1]), (flat[..., 1:], flat[..., :-1])):
        assert abs((one * other).mean() * 12) < 5 / np.sqrt(one.size)
    assert len(np.unique(drawn)) > 0.98 * drawn.size


class Gusts(TensorEnv):
    """A place that gusts move; it ends far off. The reward is where it is."""

    observation_space = Box(-np.inf, np.inf, (2,))
    action_space = Discrete(2)
    time_limit = 40

    def initial(self, rng: np.random.Generator) -> Any:
        return np.array([0.0, *self.new_key(rng)])

    def transition(self, state: Any, action: Tensor) -> Any:
        place, *key = state
        (one, other), key = self.uniform(key, 2)
        gust = ((one - other) * 256).floor() / 256  # float32 holds all sums of such numbers
        return place + gust + (action - 0.5) * 2**-6, *key

    def observation(self, state: Any) -> Any:
        place, *key = state
        return place, (self.uniform(key, 3)[0][2] * 256).floor()

    def reward(self, state: Any, action: Tensor, next_state: Any) -> Tensor:
        moved: Tensor = next_state[0]
        return moved

    def terminal(self, state: Any) -> Tensor:
        far: Tensor = state[0].abs() > 2
        return far


class Board(Gusts):
    """The same as a state of one tensor, with 400 further numbers, of which one is seen in a picture."""

    matrix_state = True
    observation_space = Box(0, 255, (4, 5), np.uint8)

    def initial(self, rng: np.random.Generator) -> Any:
        return np.concatenate([super().initial(rng), np.zeros(400)])

    def transition(self, state: Any, action: Tensor) -> Any:
        moved = torch.stack(super().transition(tuple(state[:4]), action))
        return torch.cat([moved, state[4:] + moved[0].abs()])

    def observation(self, state: Any) -> Any:
        return (state[4:24].T.reshape(-1, 4, 5) * 16).floor().clamp(0, 255)


def played(env: type[TensorEnv], slots: int, *, flipped: bool = False, compiled: bool = False) -> Any:
    """Returns and lengths (P, E), of the same candidates and seeds whatever the order."""
    environment = make_environment(env)
    policy = LinearPolicy(*environment.spaces)
    candidates = torch.randn(40, ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    order = -1 if flipped else 1
    with TensorRollout(environment, policy, slots=slots, compile=compiled) as rollout:
        outcome = rollout.play(candidates.flip(0) if flipped else candidates, [7, 8, 9][::order])
    assert not outcome.failures
    return outcome.returns[::order, ::order], outcome.lengths[::order, ::order]


def assert_pure(env: type[TensorEnv], *, compiled: bool) -> None:
    returns, lengths = played(env, 32)
    assert len(set(lengths.ravel().tolist())) > 3
    assert len(set(returns[:, 0].tolist())) > 3  # the actions count, too
    assert abs(returns[:, 0] - returns[:, 1]).min() > 0  # each seed has its own
    for slots, flipped in ((96, True),) if compiled else ((32, True), (96, False)):
        others = played(env, slots, flipped=flipped, compiled=compiled)
        np.testing.assert_array_equal(others[0], returns)
        np.testing.assert_array_equal(others[1], lengths)


@pytest.mark.parametrize("env", [Gusts, Board])
def test_an_episode_is_the_same_in_any_slot_and_order(env: type[TensorEnv]) -> None:
    assert_pure(env, compiled=False)


@pytest.mark.timeout(600)
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("env", [pytest.param(Gusts, marks=pytest.mark.slow), Board])
def test_it_is_the_same_compiled(env: type[TensorEnv]) -> None:
    assert_pure(env, compiled=True)


@pytest.mark.parametrize("env", [Gusts, Board])
def test_processes_and_resume_change_nothing(env: type[TensorEnv]) -> None:
    whole = quick(env, generations=4, episodes=3)
    quick(env, generations=2, episodes=3, workers=2, run_dir="part")
    part = tp.resume("part", env=env, generations=4)
    assert torch.equal(weights(part), weights(whole))
    assert part.evaluation.returns.tolist() == whole.evaluation.returns.tolist()


def test_what_is_not_finite_in_one_of_many_numbers_fails_its_episode_alone() -> None:
    class Breaks(Board):
        def transition(self, state: Any, action: Tensor) -> Any:
            after = super().transition(state, action)
            after[200] = torch.where(after[0] > 1, torch.nan, after[200])
            return after

    environment = make_environment(Breaks)
    policy = LinearPolicy(*environment.spaces)
    with TensorRollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(2, ParamVector(policy.net).dim), range(40))
    assert 0 < np.isnan(outcome.returns).mean() < 1
    assert "state or sum of rewards is not finite" in str(outcome.failures[0])
