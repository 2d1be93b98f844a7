"""What every learner keeps to; a new file in ``torchpolicy/learn`` is tested here by itself."""

import textwrap
from collections.abc import Callable
from math import isfinite
from typing import Any

import batches
import pytest
import torch
from torch import Tensor

import torchpolicy as tp
from torchpolicy import Learner, MLPPolicy, Policy
from torchpolicy.base.discovery import names
from torchpolicy.envs.gym import gym_environment
from torchpolicy.runs.algorithms import algorithm_class, hyperparameters_of

pytestmark = pytest.mark.parametrize("name", names("learn"))
kinds = pytest.mark.parametrize("kind", ["discrete", "box"])

LENGTHS = [4, 2, 7, 1, 3, 5]


def make(name: str, policy: Policy, **arguments: Any) -> Learner:
    return algorithm_class(name)(policy, **arguments)


def weights(policy: Policy) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def learn(learner: Learner, kind: str, generations: int, first: int = 0) -> Tensor:
    for seed in range(first, first + generations):
        learner.learn(batches.episodes(kind, LENGTHS, seed=seed))
    return weights(learner.policy)


@kinds
def test_same_seed_same_bits_and_no_global_rng(name: str, kind: str) -> None:
    policy = batches.policy(kind)
    before = torch.get_rng_state()
    first = learn(make(name, policy, seed=3), kind, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(learn(make(name, batches.policy(kind), seed=3), kind, 4), first)


@kinds
def test_state_dict_continues_exactly(name: str, kind: str) -> None:
    extra = {"memory": 3} if name == "deepcem" else {}
    learner = make(name, batches.policy(kind), **extra)
    learn(learner, kind, 4)
    state, policy = learner.state_dict(), {k: v.clone() for k, v in learner.policy.state_dict().items()}
    expected = learn(learner, kind, 4, first=4)
    resumed = make(name, batches.policy(kind), seed=77, **extra)
    resumed.load_state_dict(state)
    resumed.policy.load_state_dict(policy)
    assert torch.equal(learn(resumed, kind, 4, first=4), expected)
    assert resumed.generation == 8


def test_state_of_another_kind_or_size_is_refused(name: str) -> None:
    learner, other = make(name, batches.policy("discrete")), make(name, batches.policy("box"))
    learn(other, "box", 1)
    with pytest.raises(ValueError, match=r"should be torch\.float32"):
        learner.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="not the state of a"):
        learner.load_state_dict({"generation": 1})


CASES: dict[str, tuple[list[int], Callable[[int], list[float]]]] = {
    "all returns equal": ([3, 3, 3], lambda steps: [1.0] * steps),
    "all rewards zero": (LENGTHS, lambda steps: [0.0] * steps),
    "no episode": ([], lambda steps: []),
    "one episode of one step": ([1], lambda steps: [1.0]),
}


@kinds
@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_a_lesson_changes_nothing_and_is_counted(name: str, kind: str, case: str) -> None:
    lengths, rewards = CASES[case]
    learner = make(name, batches.policy(kind))
    before = weights(learner.policy)
    metrics = learner.learn(batches.episodes(kind, lengths, rewards(sum(lengths))))
    assert weights(learner.policy).isfinite().all()
    if case != "one episode of one step" or name == "deepcem":
        assert (metrics["learn/stalled"], metrics["learn/step_norm"]) == (1, 0)
        assert torch.equal(weights(learner.policy), before)
    assert learner.generation == 1


@kinds
@pytest.mark.parametrize("lengths", [[1, 1, 1, 1], [1, 30], [2]])
def test_short_few_and_tied_episodes_give_no_nan(name: str, kind: str, lengths: list[int]) -> None:
    learner = make(name, batches.policy(kind))
    for best in (1e-30, 1.0, 1e12):
        rewards = [0.0] * (sum(lengths) - 1) + [best]
        metrics = learner.learn(batches.episodes(kind, lengths, rewards))
        assert weights(learner.policy).isfinite().all()
        assert all(isfinite(value) for value in metrics.values())


def test_choices_of_one_class_only_give_no_nan(name: str) -> None:
    learner = make(name, batches.policy("discrete", bias=True), learning_rate=1.0)
    for seed in range(60):
        episodes = batches.episodes("discrete", LENGTHS, seed=seed)
        episodes.choices.fill_(1)
        metrics = learner.learn(episodes)
        assert all(isfinite(value) for value in metrics.values())
    assert weights(learner.policy).isfinite().all()


def test_a_step_that_is_not_finite_is_not_taken(name: str) -> None:
    learner = make(name, batches.policy("box"))
    before = learner.center
    episodes = batches.episodes("box", LENGTHS)
    episodes.choices[:] = 1e38
    learner.learn(episodes)
    assert torch.equal(learner.center, before)


def test_weights_that_the_net_does_not_use_stay(name: str) -> None:
    policy = batches.policy("discrete")
    policy.net.register_parameter("idle", torch.nn.Parameter(torch.ones(2)))
    learn(make(name, policy), "discrete", 2)
    assert policy.net.idle.tolist() == [1, 1]


def test_every_hyperparameter_is_documented(name: str) -> None:
    algorithm = algorithm_class(name)
    for hyperparameter in hyperparameters_of(algorithm):
        assert f"        {hyperparameter}: " in (algorithm.__doc__ or "")


def test_the_example_in_the_docstring_runs(name: str) -> None:
    documentation = algorithm_class(name).__doc__ or ""
    example = textwrap.dedent(documentation.split("Example::\n")[1].split("\n\n")[0])
    spaces = gym_environment("CartPole-v1").spaces
    policy = MLPPolicy(*spaces, hidden=(20, 20), activation="tanh", seed=0)
    scope = {"tp": tp, "policy": policy, algorithm_class(name).__name__: algorithm_class(name)}
    exec(example, scope)
    assert scope["result"].evaluation.mean >= 195
