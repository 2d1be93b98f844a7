"""What a candidate's score is made of, and what the normaliser learns from."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from worlds import Broken, Guess

import torchpolicy as tp
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.envs.gym import gym_environment
from torchpolicy.rollout.slots import Rollout
from torchpolicy.training.plan import Plan
from torchpolicy.training.scoring import _dealt, score
from torchpolicy.vectors.population import Population

POPULATION = 8


class Walk(gymnasium.Env[Any, Any]):
    """Shows two numbers around 100; ends when action 1 is chosen, or after 20 steps."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Discrete(2)
    seen: ClassVar[list[np.ndarray[Any, Any]]] = []

    def _observe(self) -> np.ndarray[Any, Any]:
        self._latest = 100 + self.np_random.normal(0, [10, 20])
        return self._latest

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: int) -> Any:
        Walk.seen.append(self._latest)  # what the policy acted on
        self._steps += 1
        return self._observe(), 2.0, action == 1, self._steps == 20, {}


def play(env: Any, generation: int = 1, **settings: Any) -> tuple[Any, Rollout, torch.Tensor]:
    plan: Any = Plan(seed=0, **settings)
    environment = gym_environment(env)
    policy = tp.LinearPolicy(*environment.spaces)
    if plan.normalize_observations:
        policy.normalize()
    vector = tp.ParamVector(policy.net)
    candidates = torch.randn(POPULATION, vector.dim, generator=torch.Generator().manual_seed(0))
    with Rollout(environment, policy) as rollout:
        return score(rollout, plan, candidates, vector.read(), generation, plan.episodes), rollout, candidates


def test_sampled_actions_are_those_of_training_alone() -> None:
    greedy, *_ = play("CartPole-v1", episodes=5)
    sampled, rollout, candidates = play("CartPole-v1", episodes=5, actions="sampled")
    outcome = rollout.play(candidates, episode_seeds(0, Stream.TRAIN, 1, 5), sampled=True)
    np.testing.assert_array_equal(sampled.returns, outcome.returns)
    assert (sampled.returns != greedy.returns).any()
    rate = {"learning_rate": 1e-30}  # held-out scores are those of the same policy
    scores = [
        tp.train("CartPole-v1", "nes", actions=actions, generations=1, eval_episodes=4, **rate).evaluation.returns
        for actions in ("greedy", "sampled")
    ]
    np.testing.assert_array_equal(*scores)


def test_the_step_penalty_is_subtracted_for_each_step_of_the_score_alone() -> None:
    plain, *_ = play(Walk)
    bare, *_ = play(Walk, step_penalty=1.5)
    np.testing.assert_allclose(bare.scores, plain.scores * 0.25)  # of 2 a step, 0.5 is left
    assert bare.metrics == plain.metrics
    assert len(set(plain.scores)) > 2


def test_the_best_quarter_is_played_again_on_fresh_episodes_and_ranked_among_itself() -> None:
    once, *_ = play(Guess, episodes=2, generation=6)
    every, *_ = play(Guess, episodes=5, generation=6)
    again, *_ = play(Guess, episodes=2, reevaluate=3, generation=6)
    best = np.argsort(-once.scores, kind="stable")[:2]
    others = np.setdiff1d(np.arange(POPULATION), best)
    assert once.scores[best[0]] > once.scores[best[1]]
    assert every.scores[best[0]] < every.scores[best[1]]  # so they change places
    np.testing.assert_array_equal(again.scores[best], once.scores[best][::-1])
    np.testing.assert_array_equal(again.scores[others], once.scores[others])
    assert again.env_steps == once.env_steps + 2 * 3 * 10
    assert again.metrics["rollout/episodes"] == POPULATION * 2 + 2 * 3


def test_fresh_episodes_count_for_no_more_than_the_first() -> None:
    """Here the only fresh one prefers the second, all five the first."""
    once, *_ = play(Guess, episodes=4, generation=41)
    every, *_ = play(Guess, episodes=5, generation=41)
    again, *_ = play(Guess, episodes=4, reevaluate=1, generation=41)
    best = np.argsort(-once.scores, kind="stable")[:2]
    fresh = 5 * every.scores[best] - 4 * once.scores[best]
    assert fresh[0] < fresh[1]
    assert every.scores[best[0]] > every.scores[best[1]]
    np.testing.assert_array_equal(again.scores, once.scores)


def test_scores_are_dealt_by_the_order_of_all_episodes_and_shared_among_equals() -> None:
    dealt = _dealt(np.array([9.0, 7.0, 5.0, 3.0, 1.0]), np.array([1.0, 4.0, 4.0, np.nan, 2.0]))
    np.testing.assert_array_equal(dealt, [1.0, 8.0, 8.0, np.nan, 5.0])


def test_ranking_again_does_not_mix_different_episodes() -> None:
    """With noise that all candidates share in an episode, the fresh ones may not decide who is above the others."""
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        truth = rng.normal(size=64)
        first, fresh = (truth + rng.normal(0, 1, 64) + rng.normal(0, 3) for _ in range(2))
        best = np.argsort(-first)[:16]
        means = (first[best] + fresh[best]) / 2
        row = []
        for scores in (first[best], means, _dealt(first[best], means)):  # once, mixed, ranked again
            told = first.copy()
            told[best] = scores
            row.append(np.corrcoef(told.argsort().argsort(), truth)[0, 1])
        found.append(row)
    once, mixed, again = np.mean(found, 0)
    assert mixed < once - 0.02
    assert again > once + 0.005


def test_a_failed_candidate_is_dropped_or_the_worst() -> None:
    class Fragile(Guess):
        """Guess, which breaks where 2 is the first answer."""

        def step(self, action: int) -> Any:
            if self._steps == 0 and action == 2:
                raise RuntimeError("broken")
            return super().step(action)

    plain, *_ = play(Fragile)
    worst, *_ = play(Fragile, failed="worst")
    lost = np.isnan(plain.scores)
    assert 0 < lost.sum() < POPULATION
    assert (worst.scores[lost] == np.nanmin(plain.scores)).all()
    np.testing.assert_array_equal(worst.scores[~lost], plain.scores[~lost])
    assert len(worst.failures) == len(plain.failures) > 0
    row = tp.train(Fragile, "cem", failed="worst", generations=1, eval_episodes=2).metrics[0]
    assert row["search/failed"] > 0
    assert row["search/stalled"] == 0


@pytest.mark.parametrize("reward", [1e19, -3e30, 1e300])
def test_scores_too_large_for_the_search_are_failures(reward: float) -> None:
    class Large(Guess):
        """Guess, for far too much."""

        def step(self, action: int) -> Any:
            observation, right, *rest = super().step(action)
            return observation, reward * (right + 1), *rest

    scored, *_ = play(Large)
    assert np.isnan(scored.scores).all()
    assert len(scored.failures) == POPULATION
    assert "is too large to compute with (at most 2e+19): scale the rewards down" in str(scored.failures[0])
    with pytest.raises(tp.RunError, match="64 of 64 candidates failed in Large, the second generation running"):
        tp.train(Large, "cem", generations=5, eval_episodes=2)


def test_what_promises_the_target_is_a_return_without_the_step_penalty() -> None:
    plain, *_ = play(Walk, generation=4, episodes=2)
    bare, *_ = play(Walk, generation=4, episodes=2, step_penalty=1.5)
    assert bare.center_return == plain.center_return > 0
    assert bare.metrics["search/center_score"] == pytest.approx(plain.metrics["search/center_score"] / 4)


def test_a_step_penalty_does_not_put_off_what_the_target_is_compared_with() -> None:
    """Of 2 a step, all of it is taken off the scores; the return reaches the target at the first look."""
    result = tp.train(
        Walk, "cem", step_penalty=2.0, target=1.0, generations=6, population=6, eval_episodes=4, eval_every=100
    )
    assert len(result.metrics) == 1
    assert result.metrics[0]["search/center_score"] == 0


def test_a_candidate_that_fails_when_played_again_has_failed() -> None:
    environment = gym_environment(lambda: Broken("raise"))
    policy = tp.LinearPolicy(*environment.spaces)
    never = torch.zeros(POPULATION, tp.ParamVector(policy.net).dim)
    never[:, -2] = 1.0  # the bias of action 0
    with Rollout(environment, policy) as rollout:
        fine = score(rollout, Plan(seed=0, reevaluate=1), never, never[0], 1, 1)
        assert not fine.failures

        original = rollout.play

        def second_fails(candidates: Population, *arguments: Any, **options: Any) -> Any:
            played = candidates if len(candidates) == POPULATION else -candidates.dense()
            return original(played, *arguments, **options)

        rollout.play = second_fails  # type: ignore[method-assign]
        failed = score(rollout, Plan(seed=0, reevaluate=1), never, never[0], 1, 1)
    lost = np.flatnonzero(np.isnan(failed.scores)).tolist()
    assert len(lost) == 2
    assert sorted(failure.candidate for failure in failed.failures) == lost


def test_the_center_is_scored_on_the_same_episodes_and_is_not_among_the_scores() -> None:
    alone, *_ = play(Guess, generation=1)
    beside, *_ = play(Guess, generation=4)
    assert np.isnan(alone.center_return)
    assert len(alone.scores) == len(beside.scores) == POPULATION
    assert np.isfinite(beside.center_return)


@pytest.mark.parametrize("plan", [{}, {"episodes": 3, "reevaluate": 2}])
def test_the_normaliser_learns_all_that_candidates_saw_and_nothing_else(plan: dict[str, Any]) -> None:
    Walk.seen = []
    _, rollout, candidates = play(Walk, generation=1, normalize_observations=True, **plan)
    normalizer = rollout.policy.normalizer
    assert normalizer is not None
    seen = np.array(Walk.seen)
    assert normalizer.count == len(seen) > 20
    np.testing.assert_allclose(normalizer.mean, seen.mean(0), rtol=1e-6)
    np.testing.assert_allclose(normalizer.std, seen.std(0), rtol=1e-6)
    rollout.play(candidates, [1, 2])  # nobody asked it to observe
    assert normalizer.count == len(seen)


def test_the_center_teaches_the_normaliser_nothing() -> None:
    with_center, without = (play(Walk, generation=g, normalize_observations=True, episodes=2)[1] for g in (4, 1))
    counts = [rollout.policy.normalizer.count.item() for rollout in (with_center, without)]  # type: ignore[union-attr]
    scored, *_ = play(Walk, generation=4, episodes=2)
    center_steps = scored.center_return  # 2 a step, over 2 episodes
    assert counts[0] == scored.env_steps - center_steps
    assert counts[1] > 0


def test_episodes_that_failed_teach_it_nothing() -> None:
    class Odd(Walk):
        """Walk, whose every second episode breaks."""

        def step(self, action: int) -> Any:
            observation, *rest = super().step(action)
            if self._steps == 3:
                observation = observation * np.nan
            return observation, *rest

    _, rollout, _ = play(Odd, normalize_observations=True)
    normalizer = rollout.policy.normalizer
    assert normalizer is not None
    assert normalizer.mean.isfinite().all()
    assert normalizer.std.isfinite().all()
    assert normalizer.count < len(Walk.seen)


@pytest.mark.usefixtures("_own_test")
def test_a_run_saves_and_loads_its_normaliser() -> None:
    result = tp.train(Walk, "cem", generations=3, population=6, eval_episodes=3, normalize_observations=True)
    policy = tp.load(result.run_dir)
    assert policy.normalizer is not None
    assert policy.normalizer.mean.tolist() == pytest.approx([100, 100], rel=0.1)
    observation = torch.tensor([[90.0, 130.0]], dtype=torch.float64)
    mean, std = policy.normalizer.mean, policy.normalizer.std
    expected = policy.net(((observation - mean) / std).float())
    torch.testing.assert_close(policy(observation), expected)
    again = tp.evaluate(policy, Walk, episodes=3, seed=0)
    assert again.returns.tolist() == result.evaluation.returns.tolist()


def test_one_hot_observations_have_nothing_to_normalise() -> None:
    with pytest.raises(ValueError, match=r"observations in Discrete\(16\) come one-hot"):
        tp.train("FrozenLake-v1", "cem", normalize_observations=True, generations=1)
