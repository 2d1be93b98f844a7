"""REINFORCE against a hand-written reference."""

import batches
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from torchpolicy import REINFORCE, Episodes, LinearPolicy
from torchpolicy.learn.reinforce import BASELINES

LENGTHS = [4, 2, 7, 1, 3]


def reference_advantages(rewards: list[np.ndarray], discount: float, baseline: str) -> np.ndarray:
    to_go = [
        np.array([sum(discount ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))]) for r in rewards
    ]
    advantages = []
    for i, own in enumerate(to_go):
        for t, value in enumerate(own):
            if baseline == "none":
                b = 0.0
            elif baseline == "mean":
                b = np.mean([each[0] for each in to_go])
            elif baseline == "step":
                b = np.mean([each[t] for each in to_go if len(each) > t])
            else:
                b = np.mean([each[t] if len(each) > t else 0 for j, each in enumerate(to_go) if j != i])
            advantages.append(value - b)
    return np.array(advantages)


@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("discount", [1.0, 0.7])
def test_one_step_is_the_references(kind: str, baseline: str, discount: float) -> None:
    policy, episodes = batches.policy(kind), batches.episodes(kind, LENGTHS)
    learner = REINFORCE(
        policy, baseline=baseline, discount=discount, standardize=False, optimizer="sgd", learning_rate=0.5
    )
    before = policy.net.weight.detach().numpy().copy()
    if kind == "box":
        with torch.no_grad():
            policy.head.log_std.copy_(torch.tensor([-0.5, 0.3]))
    metrics = learner.learn(episodes)
    rewards = [each.numpy() for each in episodes.rewards.split(LENGTHS)]
    weights = reference_advantages(rewards, discount, baseline) / len(LENGTHS)
    x, choices = episodes.observations.numpy(), episodes.choices.numpy()
    if kind == "discrete":
        score = batches.softmax_score(before, x, choices)
    else:
        std = np.exp([-0.5, 0.3])
        score = batches.gaussian_score(before, std, x, choices)
        log_std = [-0.5, 0.3] + 0.5 * weights @ (((choices - x @ before.T) / std) ** 2 - 1)
        np.testing.assert_allclose(policy.head.log_std.detach(), log_std, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        policy.net.weight.detach(), before + 0.5 * np.tensordot(weights, score, 1), rtol=1e-4, atol=1e-6
    )
    assert metrics["learn/steps"] == sum(LENGTHS)


def test_standardized_advantages_make_the_scale_of_rewards_a_matter_of_taste() -> None:
    weights = []
    for scale in (1.0, 1000.0):
        policy, episodes = batches.policy("discrete"), batches.episodes("discrete", LENGTHS)
        episodes.rewards.mul_(scale)
        REINFORCE(policy, optimizer="sgd").learn(episodes)
        weights.append(policy.net.weight.detach())
    torch.testing.assert_close(*weights)


def test_many_steps_are_taken_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for chunk in (10_000, 3):
        monkeypatch.setattr("torchpolicy.learn.base.CHUNK", chunk)
        policy = batches.policy("discrete")
        metrics = REINFORCE(policy, optimizer="sgd", entropy_bonus=0.1).learn(batches.episodes("discrete", LENGTHS))
        weights.append((policy.net.weight.detach(), torch.tensor([metrics["learn/loss"], metrics["learn/entropy"]])))
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_better_action_becomes_more_probable(baseline: str) -> None:
    policy = batches.policy("discrete", bias=True)
    episodes = batches.episodes("discrete", [1] * 200)
    episodes.rewards.copy_((episodes.choices == 1).double())
    learner = REINFORCE(policy, baseline=baseline, learning_rate=0.05)
    for _ in range(30):
        learner.learn(episodes)
    assert policy(episodes.observations).softmax(1)[:, 1].mean() > 0.5


def rare_and_late(policy: LinearPolicy, rng: np.random.Generator, count: int = 5) -> Episodes:
    """Action 1 earns 10 after 100 steps with probability .2, otherwise nothing, at once: 2 on average. Action 0: 1."""
    with torch.no_grad():
        first, later = policy(torch.tensor([0, 1])).softmax(1)[:, 1].tolist()
    choices, rewards = [], []
    for _ in range(count):
        choice = int(rng.random() < first)
        late = choice == 1 and rng.random() < 0.2
        choices.append([choice, *(rng.random(99) < later).astype(int)] if late else [choice])
        rewards.append([0.0] * 99 + [10.0] if late else [1.0 - choice])
    lengths = torch.tensor([len(each) for each in choices])
    seen = [int(t > 0) for each in choices for t in range(len(each))]
    return Episodes(
        torch.tensor(seen),
        torch.tensor([choice for each in choices for choice in each]),
        torch.tensor([reward for each in rewards for reward in each], dtype=torch.float64),
        lengths,
    )


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("baseline", BASELINES)
def test_long_episodes_count_for_no_less(baseline: str, standardize: bool) -> None:
    """At even odds the gradient points to the action that earns more: by hand it is .25; some baselines shorten it."""
    rng = np.random.default_rng(0)
    policy = LinearPolicy(Discrete(2), Discrete(2), initial_scale=0)
    start = policy.net.weight.detach().clone()
    settings = {"discount": 1.0, "baseline": baseline, "standardize": standardize, "optimizer": "sgd"}
    learner = REINFORCE(policy, learning_rate=1.0, **settings)
    slopes = []
    for _ in range(600):
        with torch.no_grad():
            policy.net.weight.copy_(start)
        learner.learn(rare_and_late(policy, rng))
        slopes.append((policy.net.weight.detach() - start)[1, 0].item())
    error = float(np.std(slopes) / len(slopes) ** 0.5)
    assert np.mean(slopes) > 2 * error
    if not standardize:
        assert np.mean(slopes) == pytest.approx(0.25 if baseline in ("none", "leave_one_out") else 0.2, abs=3 * error)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_action_that_earns_more_rarely_and_late_is_chosen(baseline: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        policy = LinearPolicy(Discrete(2), Discrete(2), initial_scale=0)
        learner = REINFORCE(policy, discount=1.0, baseline=baseline, learning_rate=0.02)
        for _ in range(100):
            learner.learn(rare_and_late(policy, rng))
        with torch.no_grad():
            assert policy(torch.tensor([0])).softmax(1)[0, 1] > 0.5, seed


def test_the_std_of_a_gaussian_policy_has_a_floor() -> None:
    policy, episodes = batches.policy("box"), batches.episodes("box", LENGTHS)
    learner = REINFORCE(policy, learning_rate=0.5, min_std=0.2)
    for _ in range(30):
        learner.learn(Episodes(episodes.observations, 0 * episodes.choices, episodes.rewards, episodes.lengths))
        assert (policy.head.log_std.exp() >= 0.2 - 1e-6).all()
    assert policy.head.log_std.exp().min().item() == pytest.approx(0.2)


def test_the_running_scale_is_part_of_the_state() -> None:
    learner = REINFORCE(batches.policy("discrete"))
    learner.learn(batches.episodes("discrete", LENGTHS))
    other = REINFORCE(batches.policy("discrete"))
    other.load_state_dict(learner.state_dict())
    assert other.mean_square == learner.mean_square > 0
