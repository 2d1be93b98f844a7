"""What a run begins with: a policy of any kind, from any algorithm, and its first noise."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import Space
from quick import quick, weights, without_time
from torch import Tensor, nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.policies.parts.heads import Gaussian


@pytest.mark.usefixtures("_own_test")
def test_a_policy_is_handed_from_algorithm_to_algorithm_and_back() -> None:
    """The score at each hand-over is the score before it: the same module, the same episodes."""
    arguments: dict[str, Any] = {"generations": 2, "eval_episodes": 10, "episodes": 5}
    result = tp.train("CartPole-v1", "cem", policy_args={"hidden": (8,)}, **arguments)
    policy = result.policy
    for algorithm in ("deepcem", "reinforce", "nes", "deepcem"):
        before = tp.evaluate(policy, "CartPole-v1", episodes=10, seed=0).returns.tolist()
        assert before == result.evaluation.returns.tolist()
        result = tp.train("CartPole-v1", algorithm, policy=policy, **arguments)
        assert result.policy is policy


def test_a_learner_object_trains_its_own_policy() -> None:
    env = gymnasium.make("CartPole-v1")
    learners = [tp.REINFORCE(tp.MLPPolicy(env.observation_space, env.action_space, hidden=(8,))) for _ in range(2)]
    for learner, workers in zip(learners, (1, 2), strict=True):
        result = tp.train("CartPole-v1", learner, generations=3, eval_episodes=3, workers=workers)
        assert result.policy is learner.policy
        assert learner.generation == 3
    assert torch.equal(learners[0].center, learners[1].center)
    with pytest.raises(ValueError, match="the learner improves another policy"):
        tp.train("CartPole-v1", learners[0], policy="linear")


def test_what_is_for_searches_alone_is_refused_for_learners() -> None:
    with pytest.raises(ValueError, match="REINFORCE has no candidates"):
        tp.train("CartPole-v1", "reinforce", reevaluate=2)
    with pytest.raises(ValueError, match="REINFORCE has no candidates: actions, "):
        tp.train("CartPole-v1", "reinforce", actions="sampled")
    with pytest.raises(ValueError, match="unknown argument 'percentil' for DeepCEM; did you mean 'percentile'"):
        tp.train("CartPole-v1", "deepcem", percentil=2)


@pytest.mark.parametrize("algorithm", ["snes", "reinforce"])
def test_the_std_of_sampled_actions_is_chosen_and_kept(algorithm: str, tmp_path: Path) -> None:
    searched: dict[str, Any] = {"actions": "sampled"} if algorithm == "snes" else {}
    short = {"generations": 2, "eval_episodes": 2, "max_episode_steps": 20, "preset": False, "log_dir": tmp_path}
    wide, narrow, again = (
        tp.train("Pendulum-v1", algorithm, action_std=std, **searched, **short) for std in (1.0, 0.1, 0.1)
    )
    assert not torch.equal(weights(wide), weights(narrow))
    assert torch.equal(weights(narrow), weights(again))
    default = tp.train("Pendulum-v1", algorithm, **searched, **short)
    assert torch.equal(weights(wide), weights(default))
    begun = tp.train("Pendulum-v1", algorithm, action_std=0.1, **searched, **short | {"generations": 1})
    resumed = tp.resume(begun.run_dir, generations=2)
    assert torch.equal(weights(resumed), weights(narrow))
    head = narrow.policy.head
    assert isinstance(head, Gaussian)
    if algorithm == "snes":
        assert head.log_std.exp().tolist() == pytest.approx([0.1])


def test_a_std_of_actions_that_have_none_is_refused() -> None:
    with pytest.raises(ValueError, match="action_std is for actions in a Box: others are drawn from probabilities"):
        tp.train("CartPole-v1", "snes", actions="sampled", action_std=0.3)
    with pytest.raises(ValueError, match=r"action_std must be a number in \(0, inf\), got 0"):
        tp.train("Pendulum-v1", "snes", action_std=0)


def test_normalisation_is_not_dropped_on_the_way() -> None:
    result = tp.train("CartPole-v1", "cem", normalize_observations=True, generations=1, eval_episodes=2)
    with pytest.raises(ValueError, match="normalize_observations is False, and the policy normalises"):
        tp.train("CartPole-v1", "nes", policy=result.policy, normalize_observations=False)


def test_a_run_starts_from_the_modules_own_weights() -> None:
    module = nn.Linear(3, 3)
    search = tp.CEM(tp.ParamVector(module).read(), population=4)
    start = search.center.clone()
    result = tp.train(Guess, search, policy=module, generations=1, eval_episodes=2)
    assert result.policy.net is module
    assert torch.equal(weights(result), search.center)
    assert not torch.equal(search.center, start)


class Tied(nn.Module):
    """Two layers with one weight, behind a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        nn.init.eye_(self.frozen.weight)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(self.frozen(x)))) + self.first(x)


@pytest.mark.usefixtures("_own_test")
def test_a_module_with_tied_and_frozen_weights_learns_and_loads() -> None:
    torch.manual_seed(0)
    module = Tied()
    frozen = module.frozen.bias.clone()
    result = tp.train(Guess, "cem", policy=module, generations=20, seed=0)
    assert torch.equal(module.frozen.bias, frozen)
    assert module.second.weight is module.first.weight
    assert result.evaluation.mean > result.metrics[0]["rollout/ep_rew_mean"] + 3
    loaded = tp.load(result.run_dir, module=Tied())
    np.testing.assert_array_equal(tp.evaluate(loaded, Guess, seed=0).returns, result.evaluation.returns)
    with pytest.raises(ValueError, match=r"a module of your own: .*--policy pkg.mod:factory .*policy=YourModule\(\)"):
        tp.load(result.run_dir)
    with pytest.raises(tp.CheckpointError, match=r"does not fit the policy: net.bias is missing; net.calls is unknown"):
        tp.load(result.run_dir, policy=nn.Linear(3, 3))


def test_policy_may_be_a_name_a_factory_a_policy() -> None:
    def factory(observation_space: Space[Any], action_space: Space[Any]) -> nn.Module:
        return nn.Linear(3, 3, bias=False)

    assert weights(quick(policy="mlp", policy_args={"hidden": (5,), "activation": "relu"})).shape == (38,)
    assert weights(quick(policy_args={"hidden": ()})).shape == (12,)
    assert weights(quick(policy=factory)).shape == (9,)
    policy = tp.LinearPolicy(Guess.observation_space, Guess.action_space)
    assert quick(policy=policy).policy is policy


def test_std_scale_is_of_each_layers_initial_scale() -> None:
    def first(**settings: Any) -> torch.Tensor:
        spread: list[torch.Tensor] = []

        class Look(tp.callbacks.Callback):
            def on_start(self, run: Any) -> None:
                spread.append(run.algorithm.std)

        common: dict[str, Any] = {
            "policy_args": {"hidden": (8,)},
            "callbacks": [Look()],
            "generations": 1,
            "eval_episodes": 2,
        }
        tp.train("CartPole-v1", "cem", **(common | settings))
        return spread[0]

    torch.testing.assert_close(first(std_scale=0.25), first(std_scale=1.0) / 4)
    torch.testing.assert_close(first(), first(std_scale=3**-0.5))
    torch.testing.assert_close(
        first(policy="linear", policy_args={}), first(policy="linear", policy_args={}, std_scale=1.0)
    )
    assert len(first().unique()) == 2  # two layers
    torch.testing.assert_close(first(std=0.3), torch.full_like(first(), 0.3))
    torch.testing.assert_close(first(std=0.3, std_scale=1.0), first(std=0.3))  # as old configurations say it


def test_numpy_numbers_are_numbers() -> None:
    plain = quick(seed=3, population=8, generations=2)
    numpy = quick(seed=np.int64(3), population=np.int32(8), generations=np.int64(2), std=None)
    assert torch.equal(weights(plain), weights(numpy))


def test_same_seed_same_bits_and_metrics() -> None:
    first, second, other = quick(seed=1), quick(seed=1), quick(seed=2)
    assert torch.equal(weights(first), weights(second))
    assert without_time(first.metrics) == without_time(second.metrics)
    np.testing.assert_array_equal(first.evaluation.returns, second.evaluation.returns)
    assert not torch.equal(weights(first), weights(other))
