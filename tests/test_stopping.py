"""Episodes that are stopped early: which, what they then count for, and what is carried to the next generation."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn
from worlds import Nowhere

import torchpolicy as tp
from torchpolicy.base.processes import ALONE
from torchpolicy.envs.gym import gym_environment
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.outcome import Outcome
from torchpolicy.rollout.slots import Rollout
from torchpolicy.rollout.stopping import EVERY, GRACE, Reference, Stopping
from torchpolicy.rollout.tensor import TensorRollout
from torchpolicy.training.plan import Plan
from torchpolicy.training.scoring import Scored, score
from torchpolicy.training.stopping import SPARED, EarlyStopping

STEPS, LOOKS = 200, 200 // EVERY

Numbers = np.ndarray[Any, Any]


class Halves(gymnasium.Env[Any, Any]):
    """A step of the first 100 earns the first action, a later one the second; 200 steps an episode."""

    observation_space = Box(-1, 1, (1,))
    action_space = Box(-np.inf, np.inf, (2,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action: Any) -> Any:
        reward = float(action[int(self._steps >= 100)])
        self._steps += 1
        return np.ones(1, np.float32), reward, False, self._steps == STEPS, {}


def module() -> nn.Module:
    """A network whose two weights are the two actions of Halves."""
    net = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(net.weight)
    return net


def curve_of(first: float, second: float) -> Numbers:
    """(LOOKS,), the partial returns of an episode of Halves."""
    return np.repeat([first, second], 100).cumsum()[EVERY - 1 :: EVERY]


def rollout(env: Any = Halves) -> Rollout:
    environment = gym_environment(env)
    return Rollout(environment, tp.Policy(module(), *environment.spaces))


def play(candidates: list[tuple[float, float]], stopping: Stopping | None, *seeds: int, env: Any = Halves) -> Outcome:
    with rollout(env) as playing:
        return playing.play(torch.tensor(candidates), seeds or (1,), stopping=stopping)


def watching(curve: Numbers | None, *spared: bool, penalty: float = 0.0) -> Stopping:
    return Stopping(None if curve is None else Reference(curve), np.array(spared), penalty)


def test_an_episode_that_is_behind_for_a_while_is_stopped_and_completed_as_the_reference_goes_on() -> None:
    reference = curve_of(1, 2)
    better, equal, worse = (1.5, 2.0), (1.0, 2.0), (0.5, 0.25)
    free = play([better, equal, worse, worse], None)
    outcome = play([better, equal, worse, worse], watching(reference, False, False, False, True))
    assert outcome.stopped.tolist() == [[False], [False], [True], [False]]
    assert outcome.behind.tolist() == [[False], [False], [True], [True]]  # the last one is spared
    assert not outcome.truncated[2]
    stop = EVERY * (GRACE + 1)
    assert outcome.lengths.ravel().tolist() == [STEPS, STEPS, stop, STEPS]
    kept = [0, 1, 3]
    np.testing.assert_array_equal(outcome.returns[kept], free.returns[kept])
    assert outcome.returns[2, 0] == 0.5 * stop + reference[-1] - reference[GRACE]
    assert outcome.env_steps == free.env_steps - (STEPS - stop)


def test_one_that_falls_behind_late_is_stopped_late_and_one_that_was_behind_for_a_moment_is_not() -> None:
    late = play([(1.0, 0.5)], watching(curve_of(1, 2), False))
    assert late.lengths.tolist() == [[100 + EVERY * (GRACE + 1)]]
    dip = curve_of(1, 1)
    dip[3 : 3 + GRACE] += 100
    assert not play([(1.0, 1.0)], watching(dip, False)).behind.any()
    dip[3 + GRACE] += 100
    assert play([(1.0, 0.5)], watching(dip, False)).stopped.all()


def test_one_that_would_catch_up_by_lasting_longer_is_not_behind() -> None:
    """The reference fell after 50 steps; whoever earns half as much a step, but lasts, comes out above it."""
    flat = np.minimum(curve_of(1, 1), 50.0)
    reference = Reference(flat)
    assert not reference.leaves_behind([5.0, 10.0, 15.0])  # 5 a look, and 17 looks to go
    assert reference.leaves_behind([1.0, 2.0, 3.0])  # 20 at the end
    assert reference.leaves_behind([12.0, 12.0, 12.0, 12.0, 12.0, 12.0])  # it earns nothing any more
    assert not reference.leaves_behind([60.0])
    assert not play([(0.5, 0.5)], watching(flat, False)).behind.any()
    assert play([(0.125, 0.125)], watching(flat, False)).stopped.all()


def test_a_completed_score_is_below_the_end_of_the_reference_and_longer_episodes_are_compared_with_it() -> None:
    reference = Reference(np.array([1.0, 5.0, 4.0]))
    assert reference.gain(1) == 3.0
    assert reference.gain(3) == reference.gain(7) == 0.0
    assert reference.completed([0.5]) == [0.5, 4.5, 3.5]
    assert reference.completed([0.0, 1.0, 2.0, 3.0]) == [0.0, 1.0, 2.0, 3.0]
    assert reference.leaves_behind([1.0, 1.0, 1.0, 1.0, 3.5])
    assert not reference.leaves_behind([1.0, 1.0, 1.0, 1.0, 4.5])


def test_scores_are_compared_with_the_step_penalty_subtracted() -> None:
    stopping = watching(curve_of(0, 0), False, False, penalty=1.0)
    outcome = play([(1.0, 1.0), (0.5, 0.5)], stopping)
    assert outcome.stopped.tolist() == [[False], [True]]
    stop = EVERY * (GRACE + 1)
    assert outcome.completed.tolist() == [[0], [STEPS - stop]]
    assert outcome.returns[1, 0] - 1.0 * STEPS == -0.5 * stop  # its score, for the reference gains nothing
    assert stopping.lowest(np.array([0]), outcome, ALONE).tolist() == [0.0] * LOOKS


def test_the_next_reference_is_the_lowest_of_the_better_half_at_each_look() -> None:
    candidates = [(2.0, 1.0), (1.0, 3.0), (0.0, 0.0), (-1.0, 5.0)]
    stopping = watching(None, *[False] * 4)
    outcome = play(candidates, stopping, 1, 2)
    assert not outcome.behind.any()
    lowest = stopping.lowest(np.array([0, 1]), outcome, ALONE)
    np.testing.assert_array_equal(lowest, np.minimum(curve_of(2, 1), curve_of(1, 3)))
    early = EarlyStopping(rollout(), 0.0)
    assert early.learn(stopping, outcome, outcome.scores) == {"rollout/stopped": 0.0}
    better = np.minimum(curve_of(1, 3), curve_of(-1, 5))
    np.testing.assert_array_equal(early.state_dict()["curve"], better)


def test_one_that_was_stopped_and_is_among_the_better_goes_on_as_the_reference_did() -> None:
    """A generation of lower scores lowers the next reference, also where all of it is stopped."""
    before = curve_of(1, 2)
    stopping = watching(before, False, False)
    outcome = play([(0.5, 1.0), (0.25, 0.5)], stopping)
    assert outcome.stopped.all()
    after = stopping.lowest(np.array([0]), outcome, ALONE)
    expected = np.concatenate([curve_of(0.5, 1)[: GRACE + 1], before[GRACE + 1 :] - 0.5 * EVERY * (GRACE + 1)])
    np.testing.assert_array_equal(after, expected)


def test_a_sum_of_rewards_that_is_not_finite_fails_and_is_not_stopped() -> None:
    outcome = play([(-np.inf, 0.0), (1.0, 1.0)], watching(curve_of(0, 0), False, False))
    assert [failure.candidate for failure in outcome.failures] == [0]
    assert np.isnan(outcome.returns[0, 0])
    assert not outcome.stopped.any()


def two_generations(*candidates: tuple[float, float], **plan: Any) -> tuple[Scored, Scored, EarlyStopping]:
    """The second of two equal generations of Halves, and a third, with a reference, in which the center plays, too."""
    with rollout() as playing:
        early = EarlyStopping(playing, plan.get("step_penalty", 0.0))
        _, first, second = (
            score(
                playing,
                Plan(seed=0, **plan),
                torch.tensor(candidates),
                torch.zeros(2),
                generation,
                plan.get("episodes", 1),
                early,
            )
            for generation in (2, 3, 4)
        )
    return first, second, early


LADDER = [(float(rung), float(rung)) for rung in range(16)]


def test_the_worse_half_is_stopped_the_center_and_the_spared_are_not() -> None:
    first, second, _ = two_generations(*LADDER)
    assert first.metrics["rollout/stopped"] == 0
    assert "rollout/wrongly_stopped" not in first.metrics
    assert second.metrics["rollout/stopped"] == 8 / 16  # candidate 12, the spared one, is of the better half
    assert second.center_return == 0  # it was played to its end: the reference gains 8 a step
    np.testing.assert_array_equal(second.scores[8:], first.scores[8:])
    assert (np.diff(second.scores) > 0).all()
    assert second.env_steps == 9 * STEPS + 8 * EVERY * (GRACE + 1)
    assert second.metrics["rollout/ep_len_mean"] < STEPS
    assert second.metrics["rollout/ep_rew_min"] == second.scores.min()


def test_spared_candidates_tell_how_often_it_would_have_been_wrong() -> None:
    """Candidate 12 is spared: behind for the first half, it is among the best or the worst in the end."""
    for late, share in ((100.0, 1.0), (-100.0, 0.0)):
        with rollout() as playing:
            early = EarlyStopping(playing, 0.0)
            for generation in (2, 3):
                score(playing, Plan(seed=0), torch.tensor(LADDER), torch.zeros(2), generation, 1, early)
            changed = [(-5.0, late) if rung == 12 else pair for rung, pair in enumerate(LADDER)]
            scored = score(playing, Plan(seed=0), torch.tensor(changed), torch.zeros(2), 4, 1, early)
        assert scored.scores[12] == 100 * (late - 5)
        assert scored.metrics["rollout/wrongly_stopped"] == share
        assert early.state_dict()["judged"] == 1


def test_the_reference_is_lowered_by_the_most_that_its_end_fell_lately() -> None:
    early = EarlyStopping(rollout(), 0.0)
    ends = [2.0, 1.0, 1.5, 1.25, 3.0, 2.5, 2.5, 2.5]  # of each generation, for 200 steps
    falls = [0, 0, 200, 200, 200, 200, 200, 100]  # the most in the last five
    for generation, end in enumerate(ends):
        stopping = early.of_generation(generation, 2)
        if generation < 2:
            assert stopping.reference is None
        else:
            assert stopping.reference is not None
            expected = (ends[generation - 1] - falls[generation] / STEPS) * np.arange(1, LOOKS + 1) * EVERY
            np.testing.assert_allclose(stopping.reference.curve, expected)
        free = watching(None, False, False)
        outcome = play([(end, end), (-9.0, -9.0)], free)
        early.learn(free, outcome, outcome.scores)


def test_every_candidate_is_spared_in_turn() -> None:
    early = EarlyStopping(rollout(), 0.0)
    spared = np.array([[not early.of_generation(g, 40).stops(c) for c in range(41)] for g in range(SPARED)])
    assert spared[:, 40].all()
    assert (spared[:, :40].sum(0) == 1).all()


def test_a_fresh_look_at_the_best_is_never_cut_short() -> None:
    _, second, _ = two_generations(*LADDER, reevaluate=2)
    assert second.env_steps == 9 * STEPS + 8 * EVERY * (GRACE + 1) + 4 * 2 * STEPS


def test_a_generation_in_which_all_failed_leaves_the_reference_as_it_is() -> None:
    _, _, early = two_generations(*LADDER)
    before = early.state_dict()["curve"].tolist()
    stopping = early.of_generation(5, 2)
    outcome = play([(np.inf, 0.0), (np.inf, 0.0)], stopping)
    early.learn(stopping, outcome, np.full(2, np.nan))
    assert early.state_dict()["curve"].tolist() == before


class Alike(Halves):
    """Each step earns the sum of the actions, so that whoever is worse at first is worse in the end."""

    def step(self, action: Any) -> Any:
        return super().step(np.repeat(action.sum(), 2))


def train(**arguments: Any) -> tp.Result:
    usual = {"policy": module(), "std": 0.5, "generations": 8, "population": 20, "eval_episodes": 2, "eval_every": 4}
    return tp.train(Alike, "snes", **{**usual, **arguments})


def test_a_run_takes_fewer_steps_and_ends_with_the_same_bits() -> None:
    """The utilities of SNES are the same for all of the worse half, and here nobody is stopped wrongly."""
    plain, early = train(), train(stop_early=True)
    shares = [row["rollout/stopped"] for row in early.metrics]
    assert shares[:2] == [0, 0]
    assert np.mean(shares[2:]) > 0.1
    assert early.metrics[-1]["rollout/wrongly_stopped"] == 0
    assert early.metrics[-1]["rollout/env_steps"] < 0.95 * plain.metrics[-1]["rollout/env_steps"]
    assert early.evaluation.returns.tolist() == plain.evaluation.returns.tolist()
    assert early.evaluation.lengths.tolist() == [STEPS, STEPS]
    assert "rollout/stopped" not in plain.metrics[-1]


def test_where_all_partial_returns_are_equal_nothing_is_stopped() -> None:
    result = tp.train(Nowhere, "snes", stop_early=True, generations=4, eval_episodes=2)
    assert all(row["rollout/stopped"] == 0 for row in result.metrics)


def test_what_stopping_early_is_not_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"DeepCEM has no candidates: .* and stop_early are for searches"):
        tp.train("Hopper-v5", "deepcem", stop_early=True)
    for compiled in (False, True):
        with pytest.raises(ValueError, match=r"one by one, and CartPole-v1 is on tensors .*backend='gymnasium'"):
            tp.train("CartPole-v1", "cem", stop_early=True, compile=compiled)
    with pytest.raises(ValueError, match="stop_early must be True or False, got 'yes'"):
        tp.train(Halves, "cem", stop_early="yes")  # type: ignore[arg-type]
    environment = make_environment("CartPole-v1", None, None, "native")
    policy = tp.LinearPolicy(*environment.spaces)
    with TensorRollout(environment, policy) as playing, pytest.raises(ValueError, match="CartPole-v1 is on tensors"):
        playing.play(torch.zeros(2, 10), [1], stopping=watching(None, False, False))


def test_a_run_of_a_version_without_it_goes_on() -> None:
    whole = train(generations=4)
    train(generations=2, run_dir="run")
    path = Path("run/config.json")
    lines = [line for line in path.read_text().splitlines() if "checksum" not in line and "stop_early" not in line]
    path.write_text("\n".join(lines).replace(",\n}", "\n}"))
    resumed = tp.resume("run", env=Alike, policy=module(), generations=4)
    assert torch.equal(tp.ParamVector(resumed.policy.net).read(), tp.ParamVector(whole.policy.net).read())
    with pytest.raises(ValueError, match="stop_early was False, is True"):
        train(generations=2, run_dir="run", stop_early=True)


def test_the_reference_is_forgotten_where_the_search_begins_again() -> None:
    early = EarlyStopping(rollout(), 0.0)
    early.load_state_dict({"curve": torch.ones(3, dtype=torch.float64), "falls": [0.5], "judged": 4, "wrong": 1})
    early.forget()
    assert early.of_generation(9, 4).reference is None
    assert early.state_dict()["judged"] == 4
