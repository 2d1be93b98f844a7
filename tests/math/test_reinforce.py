"""REINFORCE against a hand-written reference."""

import batches
import numpy as np
import pytest
import torch

from torchpolicy import REINFORCE

LENGTHS = [4, 2, 7, 1, 3]


def reference_advantages(rewards: list[np.ndarray], discount: float, baseline: str) -> np.ndarray:
    to_go = [
        np.array([sum(discount ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))]) for r in rewards
    ]
    advantages = []
    for i, own in enumerate(to_go):
        for t, value in enumerate(own):
            if baseline == "mean":
                b = np.concatenate(to_go).mean()
            elif baseline == "step":
                b = np.mean([each[t] for each in to_go if len(each) > t])
            else:
                b = np.mean([each[t] if len(each) > t else 0 for j, each in enumerate(to_go) if j != i])
            advantages.append(value - b)
    return np.array(advantages)


@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("baseline", ["mean", "step", "leave_one_out"])
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
    weights = reference_advantages(rewards, discount, baseline) / sum(LENGTHS)
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


@pytest.mark.parametrize("baseline", ["mean", "step", "leave_one_out"])
def test_the_better_action_becomes_more_probable(baseline: str) -> None:
    policy = batches.policy("discrete", bias=True)
    episodes = batches.episodes("discrete", [1] * 200)
    episodes.rewards.copy_((episodes.choices == 1).double())
    learner = REINFORCE(policy, baseline=baseline, learning_rate=0.05)
    for _ in range(30):
        learner.learn(episodes)
    assert policy(episodes.observations).softmax(1)[:, 1].mean() > 0.5
