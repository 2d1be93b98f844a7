"""A vector environment gives every candidate what it gets in the same environments one by one."""

import gc
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from simulators import LENGTHS, MODES, Count, Tensors, asynchronous, sync
from worlds import Guess, Lengths

from torchpolicy import LinearPolicy, ParamVector
from torchpolicy.envs.base import Environment
from torchpolicy.envs.gym import gym_environment
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.vector_arrays import as_array
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.rollout.make import make_rollout
from torchpolicy.rollout.outcome import Outcome

Make = Callable[..., Any]


def played(environment: Environment, episodes: int = 3, slots: int | None = None) -> tuple[Outcome, Outcome, Episodes]:
    """What random candidates come to, twice, and what one policy does with sampled actions."""
    policy = LinearPolicy(*environment.spaces, bias=True)
    vector = ParamVector(policy.net)
    candidates = 3 * torch.randn(50, vector.dim, generator=torch.Generator().manual_seed(0))
    policy.normalize()
    with make_rollout(environment, policy, slots=slots) as rollout:
        first = rollout.play(candidates, range(episodes), observe=True)
        again = rollout.play(candidates[:7], range(episodes), sampled=True)
        _, collected = rollout.collect(range(20))
    return first, again, collected


def assert_same(one: tuple[Outcome, Outcome, Episodes], other: tuple[Outcome, Outcome, Episodes]) -> None:
    for mine, theirs in zip(one[:2], other[:2], strict=True):
        np.testing.assert_array_equal(mine.returns, theirs.returns)
        np.testing.assert_array_equal(mine.lengths, theirs.lengths)
        np.testing.assert_array_equal(mine.truncated, theirs.truncated)
    np.testing.assert_array_equal(one[0].moments, other[0].moments)  # type: ignore[arg-type]
    for name, values in one[2].as_dict().items():
        assert torch.equal(values, other[2].as_dict()[name]), name


KINDS = [(make, mode) for make in (sync, Tensors) for mode in MODES]


@pytest.mark.parametrize("width", [1, 5, 32, 40])
@pytest.mark.parametrize(("kind", "mode"), [*KINDS, (asynchronous, AutoresetMode.NEXT_STEP)])
def test_every_candidate_gets_its_own_return_and_length(kind: Make, mode: AutoresetMode, width: int) -> None:
    if kind is asynchronous and width > 5:
        pytest.skip("so many processes")
    found = played(make_environment(partial(kind, Count, width, mode)))
    assert set(found[0].lengths.ravel().tolist()) == set(LENGTHS)
    assert not found[0].failures
    reference = played(gym_environment(Count), slots=64 if width == 40 else 32)
    assert_same(found, reference)


def test_observations_of_tensors_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = make_environment(partial(Tensors, Count, 5, AutoresetMode.SAME_STEP))
    brought = set()

    def bring(name: str, value: Any) -> Any:
        brought.add(name)
        return as_array(name, value)

    monkeypatch.setattr("torchpolicy.envs.vector_slots.as_array", bring)
    with make_rollout(environment, LinearPolicy(*environment.spaces)) as rollout:
        assert isinstance(rollout._envs.observations, torch.Tensor)  # type: ignore[union-attr]
        rollout.play(torch.zeros(1, 24), [0])
    assert brought == {"rewards", "terminated", "truncated", "final observations"}


class Changing(Tensors):
    """Gives something else after a while."""

    def step(self, actions: Any) -> Any:
        seen, *others = super().step(actions)
        return self.change(seen), *others


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda seen: seen.numpy(), "and were a tensor before"),
        (lambda seen: seen[:, :2], r"observations have shape \(5, 2\), expected \(5, 3\)"),
        (lambda seen: seen.to(torch.complex64), "observation has shape .* of complex64, its space has"),
    ],
)
def test_tensors_of_another_kind_fail_their_episodes_in_one_line(change: Any, message: str) -> None:
    Changing.change = staticmethod(lambda seen: seen)  # type: ignore[attr-defined]
    environment = make_environment(partial(Changing, Count, 5, AutoresetMode.NEXT_STEP))
    Changing.change = staticmethod(change)  # type: ignore[attr-defined]
    with make_rollout(environment, LinearPolicy(*environment.spaces)) as rollout:
        outcome = rollout.play(torch.zeros(1, 24), [0])
    assert re.search(message, outcome.failures[0].reason.splitlines()[0]) is not None


@pytest.mark.parametrize("mode", MODES[1:])
def test_subprocesses_give_every_candidate_its_own_return(mode: AutoresetMode) -> None:
    assert_same(played(make_environment(partial(asynchronous, Count, 3, mode))), played(gym_environment(Count)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inside", [True, False])
def test_time_limits_inside_and_outside_cut_episodes_off(mode: AutoresetMode, inside: bool) -> None:
    make = partial(sync, (lambda: TimeLimit(Count(), 12)) if inside else Count, 6, mode)
    found = played(make_environment(make, max_episode_steps=None if inside else 12))
    assert found[0].lengths.max() == 12
    assert_same(found, played(gym_environment(Count, max_episode_steps=12)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", ["observation", "reward"])
def test_what_is_not_finite_fails_its_own_episode_alone(mode: AutoresetMode, bad: str) -> None:
    found = played(make_environment(partial(sync, partial(Count, bad), 6, mode)))
    reference = played(gym_environment(partial(Count, bad)))
    assert np.isnan(found[0].returns).any()
    assert np.isfinite(found[0].returns).any()
    np.testing.assert_array_equal(found[0].returns, reference[0].returns)
    assert "is not finite" in str(found[0].failures[0])


@pytest.mark.filterwarnings("ignore")  # with which Gymnasium tells what its workers raised
@pytest.mark.parametrize("kind", [sync, asynchronous])
@pytest.mark.parametrize("mode", MODES)
def test_a_simulator_that_raises_fails_what_it_played_and_goes_on_anew(kind: Make, mode: AutoresetMode) -> None:
    environment = make_environment(partial(kind, partial(Count, "raise"), 2, mode))
    policy = LinearPolicy(*environment.spaces, bias=True)
    vector = ParamVector(policy.net)
    candidates = torch.zeros(6, vector.dim)
    for candidate, action in enumerate([4, 4, 3, 5, 4, 4]):  # 3 raises in its third step
        candidates[candidate, vector.slices["bias"]] = torch.eye(6)[action]
    with make_rollout(environment, policy) as rollout:
        outcome = rollout.play(candidates, [1])
    assert np.isfinite(outcome.returns[[0, 1, 5], 0]).all()
    assert np.isnan(outcome.returns[2, 0])
    assert outcome.returns[0] == outcome.returns[5] == sum(5 * (t + 1.5) for t in range(30))
    assert "step raised OSError: the physics exploded" in str(outcome.failures[0])
    assert len(outcome.failures) == 2  # of its two, beside each other


def test_one_that_closed_itself_is_made_again() -> None:
    class Closing(SyncVectorEnv[Any, Any]):
        left = 400

        def step(self, actions: Any) -> Any:
            self.left -= 1
            if not self.left:
                self.close()
            if self.closed:
                raise RuntimeError("it is closed")
            return super().step(actions)

    outcome, _, _ = played(make_environment(lambda: Closing([Count] * 8)), episodes=30)
    assert 0 < len(outcome.failures) <= 8 * (outcome.env_steps // (400 * 8) + 2)
    assert "step raised RuntimeError: it is closed" in str(outcome.failures[0])


@pytest.mark.parametrize("width", [1, 7, 32])
@pytest.mark.parametrize("kind", [sync, Tensors])
def test_seeds_that_are_honoured_give_the_bits_of_single_environments(kind: Make, width: int) -> None:
    environment = make_environment(partial(kind, Guess, width, AutoresetMode.DISABLED))
    assert environment.seeded
    assert_same(played(environment), played(gym_environment(Guess)))


class OwnSeeds(SyncVectorEnv[Any, Any]):
    """Begins each episode as it likes."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(options=options)


class NoSeeds(SyncVectorEnv[Any, Any]):
    """Takes one seed for all of its sub-environments, and none in a reset by mask."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            assert isinstance(seed, int)
        return super().reset(seed=seed, options=options)


class AllAtOnce(SyncVectorEnv[Any, Any]):
    """Resets all of its sub-environments, whatever the mask says."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


@pytest.mark.parametrize("kind", [OwnSeeds, NoSeeds, AllAtOnce])
def test_seeds_that_are_not_honoured_are_found_out(kind: Make) -> None:
    environment = make_environment(lambda: kind([Guess] * 3, autoreset_mode=AutoresetMode.DISABLED))
    assert not environment.seeded


@pytest.mark.parametrize("mode", MODES)
def test_a_simulator_with_starts_of_its_own_plays_whole_episodes(mode: AutoresetMode) -> None:
    environment = make_environment(lambda: NoSeeds([Lengths] * 5, autoreset_mode=mode))
    policy = LinearPolicy(*environment.spaces)
    with make_rollout(environment, policy) as rollout:
        outcomes = [rollout.play(torch.zeros(9, ParamVector(policy.net).dim), range(20)) for _ in range(2)]
    for outcome in outcomes:
        np.testing.assert_array_equal(outcome.returns, outcome.lengths)
        assert len(set(outcome.lengths.ravel().tolist())) > 20
        assert outcome.lengths.mean() == pytest.approx(25.5, abs=5)
    np.testing.assert_array_equal(outcomes[0].returns, outcomes[1].returns)  # it took the seed of the round


@pytest.mark.parametrize(("mode", "share"), [(MODES[0], 0.9), (MODES[1], 0.95), (MODES[2], 0.95)])
def test_a_slot_whose_episode_ends_takes_the_next_at_once(mode: AutoresetMode, share: float) -> None:
    environment = make_environment(partial(sync, Lengths, 32, mode))
    policy = LinearPolicy(*environment.spaces)
    with make_rollout(environment, policy) as rollout:
        outcome = rollout.play(torch.zeros(1, ParamVector(policy.net).dim), range(2000))
    assert outcome.slot_utilisation > share


def test_few_episodes_leave_most_sub_environments_empty() -> None:
    environment = make_environment(partial(sync, Count, 40, AutoresetMode.NEXT_STEP))
    policy = LinearPolicy(*environment.spaces)
    with make_rollout(environment, policy) as rollout:
        assert rollout.slots == 64
        assert rollout.play(torch.zeros(1, ParamVector(policy.net).dim), [0]).lengths.tolist() == [[1]]
    with pytest.raises(ValueError, match="slots must be at least 40, the number of sub-environments, got 32"):
        make_rollout(environment, policy, slots=32)


class Single(SyncVectorEnv[Any, Any]):
    """A simulator of which a process can make one, as Isaac Lab's."""

    made = 0

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        type(self).made += 1
        if self.made > 1:
            raise RuntimeError("there is one already")
        super().__init__(*arguments, **settings)


@pytest.mark.parametrize("mode", MODES)
def test_a_callable_is_called_once_for_a_look_and_a_round(mode: AutoresetMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Single, "made", 0)
    environment = make_environment(lambda: Single([Count] * 5, autoreset_mode=mode))
    assert_same(played(environment), played(gym_environment(Count)))
    assert Single.made == 1


def test_one_that_nobody_plays_is_closed() -> None:
    closed = []

    class Closing(SyncVectorEnv[Any, Any]):
        def close_extras(self, **settings: Any) -> None:
            closed.append(1)
            super().close_extras(**settings)

    environment = make_environment(lambda: Closing([Count] * 3))
    assert not closed
    environment.release()
    assert len(closed) == 1
    other = make_environment(lambda: Closing([Count] * 3))
    del other
    gc.collect()
    assert len(closed) == 2


def test_an_object_is_played_again_and_again_and_stays_open() -> None:
    simulator = sync(Count, 5, MODES[0])
    reference = played(gym_environment(Count))
    for _ in range(2):
        assert_same(played(make_environment(simulator)), reference)
    assert not simulator.closed
    with pytest.raises(ValueError, match="env_args go with a callable or a name, got an object, SyncVectorEnv"):
        make_environment(simulator, {"a": 1})
