"""DeepCEM against a hand-written reference."""

import batches
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from torchpolicy import DeepCEM, Episodes, LinearPolicy
from torchpolicy.learn.deepcem import above_percentile
from torchpolicy.learn.lesson import Lesson

LENGTHS = [4, 2, 7, 1, 3, 5]


@pytest.mark.parametrize(
    ("scores", "percentile", "elite"),
    [
        ([1, 2, 3, 4], 50, [2, 3]),
        ([1, 2, 3, 3], 75, [2, 3]),  # ties at the top: none above, so those that reach it
        ([0, 0, 0, 5], 70, [3]),
        ([5, 5, 5, 1], 70, [0, 1, 2]),
        ([5, 5, 5, 5], 70, []),
        ([5], 70, []),
        ([1, 2, 3], 100, [2]),
        ([1, 2, 3], 0, [1, 2]),
        ([0.1, 0.1, 0.1], 33, []),
    ],
)
def test_the_elite_is_what_is_above_the_percentile(scores: list[float], percentile: float, elite: list[int]) -> None:
    assert above_percentile(torch.tensor(scores, dtype=torch.float64), percentile).nonzero().flatten().tolist() == elite


def learner_and_batch(kind: str, **arguments: object) -> tuple[DeepCEM, Episodes]:
    policy = batches.policy(kind)
    plain = {"optimizer": "sgd", "learning_rate": 0.5, "epochs": 1, "minibatch": 1000, "percentile": 50}
    return DeepCEM(policy, **plain | arguments), batches.episodes(kind, LENGTHS)


def elite_of(episodes: Episodes, discount: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations, choices and per-episode weights of the better half."""
    scores = [
        sum(discount**t * r for t, r in enumerate(rewards.tolist())) for rewards in episodes.rewards.split(LENGTHS)
    ]
    elite = [i for i in range(len(scores)) if scores[i] > np.median(scores)]
    steps = np.concatenate([np.arange(sum(LENGTHS[:i]), sum(LENGTHS[: i + 1])) for i in elite])
    weights = np.concatenate([np.full(LENGTHS[i], 1 / LENGTHS[i] / len(elite)) for i in elite])
    return episodes.observations.numpy()[steps], episodes.choices.numpy()[steps], weights


@pytest.mark.parametrize("weighting", ["steps", "episodes"])
@pytest.mark.parametrize("kind", ["discrete", "box"])
@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_one_step_is_the_references(kind: str, weighting: str, discount: float) -> None:
    learner, episodes = learner_and_batch(kind, weighting=weighting, discount=discount, extra_std=0.3)
    before = learner.policy.net.weight.detach().numpy().copy()
    metrics = learner.learn(episodes)
    x, choices, weights = elite_of(episodes, discount)
    if weighting == "steps":
        weights = np.full(len(x), 1 / len(x))
    if kind == "discrete":
        score = batches.softmax_score(before, x, choices)
    else:
        score = batches.gaussian_score(before, np.ones(2), x, choices)
    after = before + 0.5 * np.tensordot(weights, score, 1)
    np.testing.assert_allclose(learner.policy.net.weight.detach(), after, rtol=1e-4, atol=1e-6)
    assert metrics["learn/elite_steps"] == len(x)
    if kind == "box":
        variance = (weights[:, None] * (choices - x @ after.T) ** 2).sum(0) + 0.3**2
        np.testing.assert_allclose(learner.policy.head.log_std.exp().detach(), variance**0.5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_the_loss_falls_on_a_fixed_elite(kind: str) -> None:
    learner, episodes = learner_and_batch(kind, optimizer="adam", learning_rate=0.02, minibatch=8)
    losses = [learner.learn(episodes)["learn/loss"] for _ in range(30)]
    assert losses[-1] < losses[5] < losses[0]


def test_the_entropy_bonus_holds_the_choices_open() -> None:
    entropies = []
    for bonus in (0.0, 0.5):
        learner, episodes = learner_and_batch("discrete", entropy_bonus=bonus)
        entropies.append([learner.learn(episodes)["learn/entropy"] for _ in range(50)][-1])
    assert entropies[1] > entropies[0] + 0.05


def test_the_entropy_bonus_is_of_the_mean_entropy_in_minibatches_too() -> None:
    """The difference that it makes to a small step, in one minibatch or several, is the mean entropy's gradient."""
    for minibatch, count in ((1000, 1), (3, 5)):
        moves = []
        for bonus in (0.0, 0.5):
            learner, episodes = learner_and_batch("discrete", minibatch=minibatch, learning_rate=1e-3 / count)
            learner.entropy_bonus = bonus
            before = learner.policy.net.weight.detach().clone()
            learner.learn(episodes)
            moves.append((learner.policy.net.weight.detach() - before) * 1000)
        x = torch.from_numpy(elite_of(episodes)[0])
        variable = before.clone().requires_grad_()
        log_policy = (x @ variable.T).log_softmax(1)
        (gradient,) = torch.autograd.grad(-(log_policy.exp() * log_policy).sum(1).mean(), variable)
        torch.testing.assert_close(moves[1] - moves[0], 0.5 * gradient, rtol=0.05, atol=2e-3)


def test_minibatches_see_each_step_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, episodes = learner_and_batch("discrete", epochs=3, minibatch=4)
    seen: list[torch.Tensor] = []
    climb = learner._climb

    def spy(lesson: Lesson, *arguments: float) -> tuple[float, float]:
        seen.append(lesson.observations)
        return climb(lesson, *arguments)

    monkeypatch.setattr(learner, "_climb", spy)
    learner.learn(episodes)
    x, _, _ = elite_of(episodes)
    assert [len(batch) for batch in seen[:-1]] != [len(x)]
    together = torch.cat(seen).numpy()
    for row in x:
        assert (together == row).all(1).sum() == 3


def test_minibatches_have_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    learner, episodes = learner_and_batch("discrete", minibatch=4)
    sizes: list[int] = []
    climb = learner._climb
    monkeypatch.setattr(learner, "_climb", lambda *batch: (sizes.append(len(batch[0])), climb(*batch))[1])
    learner.learn(episodes)
    x, _, _ = elite_of(episodes)
    assert sum(sizes) == len(x)
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-len(x) // 4)


def test_episodes_that_weigh_alike_still_do_in_minibatches() -> None:
    """Steps up the same gradient in parts are one step up all of it, where the rate is small."""
    moves = []
    for minibatch, rate in ((1000, 1e-3), (3, 1e-3 / 5)):
        learner, episodes = learner_and_batch("discrete", weighting="episodes", minibatch=minibatch, learning_rate=rate)
        x, _, _ = elite_of(episodes)
        assert minibatch == 1000 or -(-len(x) // 3) == 5
        before = learner.policy.net.weight.detach().clone()
        learner.learn(episodes)
        moves.append(learner.policy.net.weight.detach() - before)
    torch.testing.assert_close(moves[0], moves[1], rtol=1e-2, atol=1e-7)


def test_an_entropy_bonus_for_box_actions_is_refused() -> None:
    with pytest.raises(ValueError, match="entropy_bonus does nothing for Box actions"):
        DeepCEM(batches.policy("box"), entropy_bonus=0.1)


def one_step(rewards: list[float]) -> Episodes:
    return batches.episodes("discrete", [1] * len(rewards), rewards)


def test_memory_keeps_the_elite_and_lets_it_compete_for_as_long_as_it_says() -> None:
    learner, _ = learner_and_batch("discrete", memory=2)
    learner.learn(one_step([1.0, 9.0]))
    assert (learner.remembered.returns().tolist(), learner.ages.tolist()) == ([9.0], [1])
    metrics = learner.learn(one_step([5.0, 2.0, 0.0]))
    assert metrics["learn/elite_episodes"] == 2  # 9 of before and 5, above the median of 9, 5, 2, 0
    assert sorted(zip(learner.remembered.returns().tolist(), learner.ages.tolist(), strict=True)) == [(5, 1), (9, 2)]
    learner.learn(one_step([0.0, 0.0, 0.0]))
    assert (learner.remembered.returns().tolist(), learner.ages.tolist()) == ([5.0], [2])
    assert learner.learn(one_step([0.0]))["learn/elite_return"] == 5
    assert learner.remembered is None
    assert learner.learn(one_step([0.0, 0.0]))["learn/stalled"] == 1


def test_the_percentile_can_be_taken_among_those_with_the_same_start() -> None:
    policy = LinearPolicy(Discrete(2), Discrete(3))
    starts, rewards = torch.tensor([0, 0, 1, 1]), torch.tensor([10.0, 11.0, 0.0, 1.0], dtype=torch.float64)
    episodes = Episodes(starts, torch.zeros(4, dtype=torch.int64), rewards, torch.ones(4, dtype=torch.int64))
    assert DeepCEM(policy, percentile=50).learn(episodes)["learn/threshold"] == 10
    assert DeepCEM(policy, percentile=50, per_start=True).learn(episodes)["learn/threshold"] == 1
    with pytest.raises(ValueError, match="per_start needs Discrete observations"):
        DeepCEM(batches.policy("discrete"), per_start=True)


def test_extra_variance_fades_and_the_std_has_a_floor() -> None:
    learner, episodes = learner_and_batch("box", extra_std=2.0, extra_std_decay=0.5, min_std=0.4, learning_rate=1e-9)
    same = Episodes(episodes.observations, 0 * episodes.choices, episodes.rewards, episodes.lengths)
    with torch.no_grad():
        learner.policy.net.weight.zero_()
    stds = []
    for _ in range(4):
        learner.learn(same)
        stds.append(learner.policy.head.log_std.exp()[0].item())
    assert stds == pytest.approx([2, 1, 0.5, 0.4], rel=1e-4)
