"""REINFORCE against a hand-written reference."""

import itertools
from dataclasses import replace

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
                b = np.mean([each[t] for j, each in enumerate(to_go) if j != i and len(each) > t] or [0.0])
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


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_several_steps_on_the_same_episodes_clip_the_ratio(kind: str) -> None:
    """As in a plain loop over the steps; a large rate makes some ratios leave the interval."""
    clip, rate, epochs = 0.1, 2.0, 4
    policy, episodes = batches.policy(kind), batches.episodes(kind, LENGTHS)
    learner = REINFORCE(
        policy, baseline="none", standardize=False, optimizer="sgd", learning_rate=rate, epochs=epochs, clip=clip
    )
    other = batches.policy(kind)
    advantages = episodes.rewards_to_go(0.99)
    with torch.no_grad():
        before = other.head.log_prob(other(episodes.observations), episodes.choices)
    clipped = 0
    for _ in range(epochs):
        terms = []
        ratios = (other.head.log_prob(other(episodes.observations), episodes.choices) - before).exp()
        for ratio, advantage in zip(ratios, advantages.float(), strict=True):
            good, moved = bool(advantage > 0), ratio.item() - 1
            over = abs(moved) > clip and (moved > 0) == good
            clipped += over
            terms.append(advantage * ((1 + clip if good else 1 - clip) if over else ratio))
        parameters = list(other.parameters())
        gradients = torch.autograd.grad(sum(terms) / len(LENGTHS), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter += rate * gradient
    learner.learn(episodes)
    assert clipped > 0
    for mine, theirs in zip(policy.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("baseline", BASELINES)
def test_with_starts_the_baseline_is_that_of_the_episodes_of_the_same_start(baseline: str) -> None:
    """One step up with all of them is the mean of the steps with those of each start alone."""
    order, moves = [[0, 2, 4], [1, 3]], []
    episodes = replace(batches.episodes("discrete", LENGTHS), seeds=torch.tensor([9, 4, 9, 4, 9]))
    settings = {"baseline": baseline, "standardize": False, "optimizer": "sgd", "learning_rate": 0.5}
    for chosen in [*order, [0, 1, 2, 3, 4]]:
        policy = batches.policy("discrete")
        before = policy.net.weight.detach().clone()
        some = episodes.select(torch.isin(torch.arange(5), torch.tensor(chosen)))
        REINFORCE(policy, starts=2 if len(chosen) == 5 else None, **settings).learn(some)
        moves.append(policy.net.weight.detach() - before)
    torch.testing.assert_close(moves[2], (3 * moves[0] + 2 * moves[1]) / 5, rtol=1e-4, atol=1e-6)


def test_standardized_advantages_make_the_scale_of_rewards_a_matter_of_taste() -> None:
    weights = []
    for scale in (1.0, 1000.0):
        policy, episodes = batches.policy("discrete"), batches.episodes("discrete", LENGTHS)
        episodes.rewards.mul_(scale)
        REINFORCE(policy, optimizer="sgd").learn(episodes)
        weights.append(policy.net.weight.detach())
    torch.testing.assert_close(*weights)


def test_the_entropy_bonus_is_for_each_step_of_an_episode() -> None:
    """In the units of the advantages, whose sum is over steps and whose mean is over episodes."""
    policy, episodes = batches.policy("discrete"), batches.episodes("discrete", LENGTHS)
    start = policy.net.weight.detach().clone()
    moves = []
    for bonus in (0.0, 0.3):
        with torch.no_grad():
            policy.net.weight.copy_(start)
        REINFORCE(policy, entropy_bonus=bonus, standardize=False, optimizer="sgd", learning_rate=1.0).learn(episodes)
        moves.append(policy.net.weight.detach() - start)
    variable = start.clone().requires_grad_()
    log_policy = (episodes.observations @ variable.T).log_softmax(1)
    entropy = -(log_policy.exp() * log_policy).sum()
    (gradient,) = torch.autograd.grad(entropy, variable)
    torch.testing.assert_close(moves[1] - moves[0], 0.3 * gradient / len(LENGTHS), rtol=1e-4, atol=1e-6)


def test_the_scale_of_advantages_is_that_of_earlier_batches() -> None:
    """The root of a running mean square, which keeps nine tenths of itself; in the first batch, its own."""
    losses, squares = [], []
    plain = {"baseline": "none", "optimizer": "sgd", "learning_rate": 1e-12}
    learner = REINFORCE(batches.policy("discrete"), **plain)
    for seed in range(3):
        episodes = batches.episodes("discrete", LENGTHS, seed=seed)
        bare = REINFORCE(batches.policy("discrete"), standardize=False, **plain).learn(episodes)["learn/loss"]
        losses.append(learner.learn(episodes)["learn/loss"] / bare)
        squares.append(float(episodes.rewards_to_go(0.99).square().mean()))
    running = [squares[0], squares[0], 0.9 * squares[0] + 0.1 * squares[1]]
    assert losses == pytest.approx([mean_square**-0.5 for mean_square in running], rel=1e-5)


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
        torch.arange(count),
    )


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("baseline", BASELINES)
def test_long_episodes_count_for_no_less(baseline: str, standardize: bool) -> None:
    """At even odds the gradient points to the action that earns more: by hand it is .25; one baseline shortens it."""
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
        assert np.mean(slopes) == pytest.approx(0.2 if baseline == "mean" else 0.25, abs=3 * error)


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


# All courses that an episode can take: observations, choices, rewards. Action 0 ends it, at the third step both do.
COURSES = [
    ([0], [0], [1.0]),
    ([0, 1], [1, 0], [0.3, -2.0]),
    ([0, 1, 1], [1, 1, 0], [0.3, 0.5, 7.0]),
    ([0, 1, 1], [1, 1, 1], [0.3, 0.5, -3.0]),
]


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("count", [2, 3])
def test_the_mean_of_all_steps_is_the_gradient_of_the_expected_return(baseline: str, count: int) -> None:
    """Over all batches that there are, with their probabilities."""
    policy, start = LinearPolicy(Discrete(2), Discrete(2)), torch.tensor([[0.3, -0.2], [0.1, 0.4]])
    variable = start.double().requires_grad_()
    log_policy = variable.log_softmax(0).T  # (observation, action)
    chances = [
        torch.stack([log_policy[o, a] for o, a in zip(*course[:2], strict=True)]).sum().exp() for course in COURSES
    ]
    expected = sum(chance * sum(course[2]) for chance, course in zip(chances, COURSES, strict=True))
    (gradient,) = torch.autograd.grad(torch.as_tensor(expected), variable)
    found = torch.zeros(2, 2, dtype=torch.float64)
    for batch in itertools.product(range(len(COURSES)), repeat=count):
        seen, choices, rewards = ([x for i in batch for x in COURSES[i][part]] for part in range(3))
        lengths = torch.tensor([len(COURSES[i][0]) for i in batch])
        with torch.no_grad():
            policy.net.weight.copy_(start)
        settings = {"discount": 1.0, "baseline": baseline, "standardize": False, "optimizer": "sgd"}
        rewards = torch.tensor(rewards, dtype=torch.float64)
        REINFORCE(policy, learning_rate=1.0, **settings).learn(
            Episodes(torch.tensor(seen), torch.tensor(choices), rewards, lengths, torch.arange(count))
        )
        found += float(np.prod([chances[i].item() for i in batch])) * (policy.net.weight.detach() - start)
    shorter = 1 - 1 / count if baseline == "mean" else 1.0
    torch.testing.assert_close(found, shorter * gradient, rtol=1e-5, atol=1e-6)


def test_the_std_of_a_gaussian_policy_has_a_floor() -> None:
    policy, episodes = batches.policy("box"), batches.episodes("box", LENGTHS)
    learner = REINFORCE(policy, baseline="none", learning_rate=0.5, min_std=0.2)
    for _ in range(30):
        learner.learn(replace(episodes, choices=0 * episodes.choices, rewards=episodes.rewards.abs()))
        assert (policy.head.log_std.exp() >= 0.2 - 1e-6).all()
    assert policy.head.log_std.exp().min().item() == pytest.approx(0.2)


def test_the_running_scale_is_part_of_the_state() -> None:
    learner = REINFORCE(batches.policy("discrete"))
    learner.learn(batches.episodes("discrete", LENGTHS))
    other = REINFORCE(batches.policy("discrete"))
    other.load_state_dict(learner.state_dict())
    assert other.mean_square == learner.mean_square > 0
