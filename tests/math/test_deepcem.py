"""DeepCEM against a hand-written reference."""

from dataclasses import replace

import batches
import numpy as np
import pytest
import torch

from torchpolicy import DeepCEM, Episodes
from torchpolicy.learn.elites import above_percentile
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


STARTS = torch.tensor([7, 3, 7, 3, 7, 7])


def test_with_starts_the_elite_is_taken_among_the_episodes_of_the_same_start() -> None:
    rewards = [10.0, 0.0, 11.0, 1.0, 12.0, 13.0]
    learner, _ = learner_and_batch("discrete", starts=2)
    metrics = learner.learn(replace(one_step(rewards), seeds=STARTS))
    assert (metrics["learn/elite_episodes"], metrics["learn/elite_return"]) == (3, (12 + 13 + 1) / 3)
    learner, _ = learner_and_batch("discrete")
    assert learner.learn(replace(one_step(rewards), seeds=STARTS))["learn/elite_return"] == 12


@pytest.mark.parametrize("starts", [None, 2])
@pytest.mark.parametrize("elite", ["steps", "advantages"])
@pytest.mark.parametrize("kind", ["discrete", "box"])
def test_steps_weigh_what_a_loop_says(kind: str, elite: str, starts: int | None) -> None:
    learner, episodes = learner_and_batch(
        kind, elite=elite, starts=starts, discount=0.9, percentile=60 if elite == "steps" else 70, temperature=0.7
    )
    groups = [0] * 6 if starts is None else STARTS.tolist()
    to_go = [
        [sum(0.9 ** (k - t) * r[k] for k in range(t, len(r))) for t in range(len(r))]
        for r in (rewards.tolist() for rewards in episodes.rewards.split(LENGTHS))
    ]
    advantages, best = [], []
    for own, group in zip(to_go, groups, strict=True):
        for t, value in enumerate(own):
            at = [each[t] for each, other in zip(to_go, groups, strict=True) if other == group and t < len(each)]
            advantages.append(value - np.mean(at))
            best.append(float(value > np.percentile(at, 60)))
    scale = np.sqrt(np.mean(np.square(advantages)))
    worth = np.array(best) if elite == "steps" else np.exp(np.minimum(3, np.array(advantages) / scale / 0.7))
    before = learner.policy.net.weight.detach().numpy().copy()
    metrics = learner.learn(replace(episodes, seeds=STARTS))
    x, choices = episodes.observations.numpy(), episodes.choices.numpy()
    score = batches.softmax_score(before, x, choices) if kind == "discrete" else None
    score = batches.gaussian_score(before, np.ones(2), x, choices) if score is None else score
    after = before + 0.5 * np.tensordot(worth / worth.sum(), score, 1)
    np.testing.assert_allclose(learner.policy.net.weight.detach(), after, rtol=1e-4, atol=1e-6)
    assert metrics["learn/elite_steps"] == (worth > 0).sum()


def test_nothing_is_learned_where_no_step_has_an_advantage() -> None:
    for elite in ("steps", "advantages"):
        learner, _ = learner_and_batch("discrete", elite=elite, percentile=70)
        assert learner.learn(one_step([5.0, 5.0, 5.0]))["learn/stalled"] == 1


def test_a_percentile_is_refused_where_it_does_nothing() -> None:
    with pytest.raises(ValueError, match="percentile does nothing in an elite of advantages"):
        DeepCEM(batches.policy("discrete"), elite="advantages", percentile=90)


def test_memory_is_for_episodes_that_compete_with_all_others() -> None:
    for wrong in ({"elite": "steps"}, {"elite": "advantages"}, {"starts": 2}):
        with pytest.raises(ValueError, match="memory is for an elite of episodes among all starts"):
            DeepCEM(batches.policy("discrete"), memory=1, percentile=70, **wrong)


def test_extra_variance_fades_and_the_std_has_a_floor() -> None:
    learner, episodes = learner_and_batch("box", extra_std=2.0, extra_std_decay=0.5, min_std=0.4, learning_rate=1e-9)
    same = replace(episodes, choices=0 * episodes.choices)
    with torch.no_grad():
        learner.policy.net.weight.zero_()
    stds = []
    for _ in range(4):
        learner.learn(same)
        stds.append(learner.policy.head.log_std.exp()[0].item())
    assert stds == pytest.approx([2, 1, 0.5, 0.4], rel=1e-4)
