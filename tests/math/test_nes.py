import numpy as np
import pytest
import torch
from functions import sphere
from numpy.typing import NDArray

from torchpolicy import NES

Vector = NDArray[np.float64]

BASELINES = ["center", "mean", "standardized", "ranks"]


@pytest.mark.parametrize("maximize", [False, True])
def test_minimises_from_far_away(maximize: bool) -> None:
    """In 600 generations of 64; over seeds 0 to 4 it comes to 1e-8 or less."""
    start = torch.full((20,), -7.0, dtype=torch.float64)
    search = NES(start, std=1.0, learning_rate_decay=0.99, maximize=maximize)
    for _ in range(600):
        x = search.ask()
        search.tell(x, -sphere(x) if maximize else sphere(x))
    assert sphere(search.center[None]).item() < 1e-6


def counted(baseline: str, f: Vector) -> Vector:
    """What scores count for, by hand."""
    if baseline == "center":
        return f[1:] - f[0]
    if baseline == "mean":
        return f - f.mean()
    if baseline == "standardized":
        return (f - f.mean()) / f.std()
    below, equal = (f[:, None] > f).sum(1), (f[:, None] == f).sum(1)
    ranks: Vector = (below + (equal - 1) / 2) / (len(f) - 1) - 0.5
    return ranks


@pytest.mark.parametrize(
    ("baseline", "mirrored"),
    [(name, side) for name in BASELINES for side in (False, True) if (name, side) != ("center", True)],
)
def test_update_is_the_papers(baseline: str, mirrored: bool) -> None:
    """Against a NumPy reference, over five generations with every option at work."""
    first = np.array([1.0, 2.0, 0.5, 1.0])
    search = NES(
        torch.ones(4, dtype=torch.float64),
        population=10,
        std=torch.from_numpy(first),
        learning_rate=0.3,
        baseline=baseline,
        mirrored=mirrored,
        optimizer="sgd",
        weight_decay=0.1,
        learning_rate_decay=0.9,
        std_decay=0.6,
        min_std=0.3,
    )
    center = np.ones(4)
    for t in range(5):
        std = first * max(0.6**t, 0.3)
        np.testing.assert_allclose(search.std, std, rtol=1e-12)
        x = search.ask()
        assert torch.equal(x[0], search.center) == (baseline == "center")
        assert torch.allclose(x[0::2] + x[1::2], 2 * search.center) == mirrored
        scores = torch.sin(x).sum(1).round(decimals=1)
        search.tell(x, scores)
        u = counted(baseline, scores.numpy())
        eps = (x.numpy()[-len(u) :] - center) / std
        r = std / std.mean()
        gradient = (u[:, None] * eps).mean(0) / std - 0.1 * center
        center = center + 0.3 * 0.9**t * r * (r * gradient)
        np.testing.assert_allclose(search.center, center, rtol=1e-12)
    assert 0.6**4 < 0.3


def test_update_by_adam_is_the_papers() -> None:
    rates = {"learning_rate": 0.1, "learning_rate_decay": 0.5}
    search = NES(torch.ones(3, dtype=torch.float64), population=6, std=0.5, weight_decay=0.2, **rates)
    center, m, v = np.ones(3), np.zeros(3), np.zeros(3)
    for t in range(1, 5):
        x = search.ask()
        scores = torch.sin(x).sum(1)
        search.tell(x, scores)
        gradient = counted("ranks", scores.numpy()) @ (x.numpy() - center) / (6 * 0.5**2) - 0.2 * center
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        step = 0.1 * 0.5 ** (t - 1) / (1 - 0.9**t)
        center = center + step * m / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(search.center, center, rtol=1e-10)


def test_gradient_is_that_of_the_expected_score() -> None:
    """E[a x] has the gradient a, whatever the std; the natural one is longer by the square of the proportions."""
    slope, std = torch.tensor([3.0, -1.0, 0.5]), torch.tensor([0.5, 1.0, 2.0])
    for baseline, mirrored in (("center", False), ("mean", False), ("mean", True)):
        search = NES(
            torch.zeros(3),
            population=100_000,
            std=std,
            learning_rate=1.0,
            baseline=baseline,
            mirrored=mirrored,
            optimizer="sgd",
        )
        x = search.ask()
        search.tell(x, x @ slope)
        assert (search.center / (std / std.mean()).square()).tolist() == pytest.approx(slope.tolist(), abs=0.06)


def test_golden_first_generation() -> None:
    """A change of these numbers is a change of every result published with this version."""
    search = NES(torch.zeros(3), population=8, optimizer="sgd", learning_rate=1.0)
    x = search.ask()
    search.tell(x, x.sum(1))
    assert x[0].tolist() == pytest.approx(GOLDEN_SAMPLE, abs=1e-6)
    assert x[1].tolist() == pytest.approx([-value for value in GOLDEN_SAMPLE], abs=1e-6)
    assert search.center.tolist() == pytest.approx(GOLDEN_CENTER, abs=1e-6)
    adam = NES(torch.zeros(3), population=8)
    x = adam.ask()
    adam.tell(x, x.sum(1))
    assert adam.center.tolist() == pytest.approx([0.2 if value > 0 else -0.2 for value in GOLDEN_CENTER], abs=1e-6)


GOLDEN_SAMPLE = [-1.0794191, 1.0510826, -0.9177988]
GOLDEN_CENTER = [0.0770267, -0.0217414, 0.2655001]


@pytest.mark.parametrize("optimizer", ["sgd", "clipup", "adam"])
def test_every_weight_moves_as_far_as_its_noise_is_wide(optimizer: str) -> None:
    """Two layers of one kind but of different std: in units of their noise, both come as far."""
    wide, narrow = torch.full((500,), 0.5), torch.full((500,), 0.05)
    search = NES(torch.zeros(1000), std=torch.cat([wide, narrow]), population=64, optimizer=optimizer)
    slope = torch.cat([1 / wide, 1 / narrow])  # both layers count for the same in a score
    for _ in range(20):
        x = search.ask()
        search.tell(x, x @ slope)
    moved = search.center / search.std
    assert float(moved[:500].norm() / moved[500:].norm()) == pytest.approx(1, abs=0.25)
    assert float(moved.norm() / 1000**0.5) > 0.2


def test_openai_es_is_the_recipe_that_the_docstring_gives() -> None:
    """Salimans et al.: gradient of the ranks not divided by std, weight decay 0.005 of the weights, Adam."""
    search = NES(torch.full((6,), 0.5), population=8, learning_rate=0.01, std=0.02, weight_decay=0.25)
    center, m, v = np.full(6, 0.5), np.zeros(6), np.zeros(6)
    for t in range(1, 6):
        x = search.ask()
        scores = torch.sin(3 * x).sum(1)
        search.tell(x, scores)
        eps = (x.numpy() - center) / 0.02
        gradient = counted("ranks", scores.numpy()) @ eps / 8 - 0.005 * center
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        center = center + 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(search.center, center, rtol=1e-4)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("scores", "failed"), [([4.0] * 6, 0), ([torch.nan] * 6, 6), ([torch.nan] * 5 + [1.0], 5)])
def test_where_nothing_can_be_learned_it_stays(baseline: str, scores: list[float], failed: int) -> None:
    search = NES(torch.ones(2), population=6, baseline=baseline, mirrored=False)
    metrics = search.tell(search.ask(), torch.tensor(scores))
    assert (metrics["search/stalled"], metrics["search/failed"], metrics["search/step_norm"]) == (1, failed, 0)
    assert search.center.tolist() == [1, 1]
    assert search.generation == 1


def test_without_the_score_of_the_center_it_stays() -> None:
    search = NES(torch.ones(2), population=6, baseline="center", mirrored=False)
    metrics = search.tell(search.ask(), torch.tensor([torch.nan, 1, 2, 3, 4, 5]))
    assert (metrics["search/stalled"], metrics["search/failed"]) == (1, 1)
    assert search.center.tolist() == [1, 1]


def test_the_center_apart_from_all_others_is_learned_from() -> None:
    search = NES(torch.ones(2), population=6, baseline="center", mirrored=False, optimizer="sgd", learning_rate=0.2)
    x = search.ask()
    metrics = search.tell(x, torch.tensor([0.0, 1, 1, 1, 1, 1]))
    assert metrics["search/stalled"] == 0
    torch.testing.assert_close(search.center, 1 + 0.2 * (x[1:] - 1).mean(0))


@pytest.mark.parametrize("baseline", ["mean", "standardized", "ranks"])
def test_half_a_pair_leaves_the_other_pairs_alone(baseline: str) -> None:
    partly, alone = (NES(torch.ones(3), population=8, baseline=baseline) for _ in range(2))
    x = partly.ask()
    scores = torch.sin(x).sum(1)
    others = [0, 1, 2, 3, 6, 7]
    alone.tell(x[others], scores[others])
    scores[5] = torch.nan
    metrics = partly.tell(x, scores)
    assert metrics["search/failed"] == 1
    assert metrics["search/stalled"] == 0
    assert torch.equal(partly.center, alone.center)
    assert not partly.center.eq(1).any()


def test_scores_that_differ_without_a_gradient_leave_it_where_it_is() -> None:
    search = NES(torch.zeros(2), population=4)
    x = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [2.0, 1.0], [-2.0, -1.0]])
    metrics = search.tell(x, torch.tensor([1.0, 1.0, 2.0, 2.0]))
    assert (metrics["search/gradient_norm"], metrics["search/stalled"]) == (0, 0)
    assert not search.center.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 7}, "population must be even, for mirrored pairs, got 7"),
        ({"population": 0}, "population must be an integer >= 2, got 0"),
        ({"baseline": "median"}, "baseline must be one of center, mean, standardized, ranks, got 'median'"),
        ({"baseline": "center"}, "baseline 'center' cancels out in mirrored pairs: take mirrored=False with it"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\), got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be .* got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be .* got nan"),
        ({"learning_rate_decay": 0.0}, r"learning_rate_decay must be a number in \(0, 1\], got 0.0"),
        ({"std_decay": 0}, r"std_decay must be a number in \(0, 1\], got 0"),
        ({"std_decay": 1.01}, "std_decay must be"),
        ({"min_std": 0}, r"min_std must be a number in \(0, 1\], got 0"),
        ({"weight_decay": -0.1}, r"weight_decay must be a number in \[0, inf\), got -0.1"),
        ({"std": 0.0}, "std must be positive and finite, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NES(torch.zeros(2), **arguments)


@pytest.mark.parametrize("baseline", ["mean", "center"])
def test_sgd_on_plain_scores_has_no_default_learning_rate(baseline: str) -> None:
    with pytest.raises(ValueError, match="learning_rate is needed: steps of 'sgd' have the length of the gradient"):
        NES(torch.zeros(2), baseline=baseline, mirrored=False, optimizer="sgd")
    NES(torch.zeros(2), baseline=baseline, mirrored=False)  # Adam's steps do not depend on it


def test_a_population_that_is_odd_needs_no_pairs() -> None:
    search = NES(torch.zeros(2), population=7, mirrored=False)
    x = search.ask()
    assert x.shape == (7, 2)
    assert search.tell(x, x.sum(1))["search/stalled"] == 0
