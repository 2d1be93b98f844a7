import numpy as np
import pytest
import torch
from functions import sphere

from torchpolicy import ARS


@pytest.mark.parametrize("maximize", [False, True])
def test_minimises_from_far_away(maximize: bool) -> None:
    """In 300 generations of 64; over seeds 0 to 4 it comes to 1e-20 or less."""
    search = ARS(torch.full((20,), -7.0, dtype=torch.float64), std=1.0, maximize=maximize)
    for _ in range(300):
        x = search.ask()
        search.tell(x, -sphere(x) if maximize else sphere(x))
    assert sphere(search.center[None]).item() < 1e-6


@pytest.mark.parametrize("top", [None, 1, 3])
def test_update_is_the_papers(top: int | None) -> None:
    """Against a NumPy reference, over five generations with every option at work."""
    first = np.array([1.0, 2.0, 0.5, 1.0])
    search = ARS(
        torch.ones(4, dtype=torch.float64),
        population=10,
        top_directions=top,
        std=torch.from_numpy(first),
        learning_rate=0.3,
        learning_rate_decay=0.9,
        std_decay=0.6,
        min_std=0.3,
    )
    center, b = np.ones(4), top or 5
    for t in range(5):
        std = first * max(0.6**t, 0.3)
        np.testing.assert_allclose(search.std, std, rtol=1e-12)
        x = search.ask()
        scores = torch.sin(x).sum(1)
        metrics = search.tell(x, scores)
        assert metrics["search/top_directions"] == b
        plus, minus, delta = scores.numpy()[0::2], scores.numpy()[1::2], (x.numpy()[0::2] - center) / std
        best = np.argsort(-np.maximum(plus, minus))[:b]
        plus, minus, delta = plus[best], minus[best], delta[best]
        sigma = np.concatenate([plus, minus]).std()
        move = 0.3 * 0.9**t / (b * sigma) * ((plus - minus) @ delta)
        center = center + move * std / std.mean()
        np.testing.assert_allclose(search.center, center, rtol=1e-12)


def test_with_one_std_for_all_it_is_the_paper_to_the_letter() -> None:
    search = ARS(torch.zeros(2, dtype=torch.float64), population=4, std=0.5, learning_rate=0.02)
    delta = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    scores = [5.0, 1.0, 2.0, 4.0]
    search.tell(torch.stack([0.5 * delta, -0.5 * delta], 1).flatten(0, 1), torch.tensor(scores))
    expected = 0.02 / (2 * np.std(scores)) * (4 * delta[0] - 2 * delta[1])
    torch.testing.assert_close(search.center, expected)


def test_golden_first_generation() -> None:
    """A change of these numbers is a change of every result published with this version."""
    search = ARS(torch.zeros(3), population=8, top_directions=2)
    x = search.ask()
    search.tell(x, x.sum(1))
    assert x[0].tolist() == pytest.approx(GOLDEN_SAMPLE, abs=1e-6)
    assert x[1].tolist() == pytest.approx([-value for value in GOLDEN_SAMPLE], abs=1e-6)
    assert search.center.tolist() == pytest.approx(GOLDEN_CENTER, abs=1e-6)


GOLDEN_SAMPLE = [-1.0794191, 1.0510826, -0.9177988]
GOLDEN_CENTER = [0.0719998, 0.0240055, 0.4499975]


def test_ties_among_directions_are_broken_at_random() -> None:
    chosen = set()
    x = torch.stack([torch.eye(5), -torch.eye(5)], 1).flatten(0, 1)
    for seed in range(30):
        search = ARS(torch.zeros(5), population=10, top_directions=1, seed=seed)
        search.tell(x, torch.tensor([1.0, 0.0] * 4 + [0.5, 0.0]))
        chosen.add(int(search.center.argmax()))
    assert chosen == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("scores", "failed"), [([4.0] * 6, 0), ([torch.nan] * 6, 6), ([torch.nan, 1.0, 2.0, torch.inf, 4.0, torch.nan], 3)]
)
def test_where_nothing_can_be_learned_it_stays(scores: list[float], failed: int) -> None:
    search = ARS(torch.ones(2), population=6)
    metrics = search.tell(search.ask(), torch.tensor(scores))
    assert (metrics["search/stalled"], metrics["search/failed"], metrics["search/step_norm"]) == (1, failed, 0)
    assert search.center.tolist() == [1, 1]
    assert search.generation == 1


def test_where_the_top_directions_are_equal_it_stays() -> None:
    search = ARS(torch.ones(2), population=6, top_directions=2)
    metrics = search.tell(search.ask(), torch.tensor([5.0, 5.0, 1.0, 2.0, 5.0, 5.0]))
    assert (metrics["search/stalled"], metrics["search/failed"]) == (1, 0)
    assert search.center.tolist() == [1, 1]


def test_directions_with_equal_ends_do_not_move_it() -> None:
    search = ARS(torch.zeros(2), population=4)
    x = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [2.0, 1.0], [-2.0, -1.0]])
    metrics = search.tell(x, torch.tensor([1.0, 1.0, 3.0, 3.0]))
    assert metrics["search/stalled"] == 0
    assert not search.center.any()


@pytest.mark.parametrize("top", [None, 2])
def test_half_a_pair_leaves_the_other_pairs_alone(top: int | None) -> None:
    partly, alone = (ARS(torch.ones(3), population=8, top_directions=top) for _ in range(2))
    x = partly.ask()
    scores = torch.sin(x).sum(1)
    others = [0, 1, 2, 3, 6, 7]
    alone.tell(x[others], scores[others])
    scores[5] = torch.nan
    metrics = partly.tell(x, scores)
    assert (metrics["search/failed"], metrics["search/stalled"]) == (1, 0)
    assert metrics["search/top_directions"] == (top or 3)
    assert torch.equal(partly.center, alone.center)
    assert not partly.center.eq(1).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 7}, "population must be even, for mirrored pairs, got 7"),
        ({"population": 8, "top_directions": 5}, "top_directions must be at most half the population 8, got 5"),
        ({"top_directions": 0}, "top_directions must be an integer >= 1, got 0"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\), got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be .* got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be .* got nan"),
        ({"learning_rate_decay": 0.0}, r"learning_rate_decay must be a number in \(0, 1\], got 0.0"),
        ({"std_decay": 0}, r"std_decay must be a number in \(0, 1\], got 0"),
        ({"min_std": 0}, r"min_std must be a number in \(0, 1\], got 0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ARS(torch.zeros(2), **arguments)
