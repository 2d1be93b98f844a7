from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from functions import ellipsoid, sphere
from numpy.typing import NDArray

from torchpolicy import PGPE
from torchpolicy.vectors.clipup import ClipUp

Vector = NDArray[np.float64]

BASELINES = ["mean", "standardized", "ranks"]


@pytest.mark.parametrize(("function", "generations"), [(sphere, 1200), (ellipsoid, 1600)])
def test_minimises_from_far_away(function: object, generations: int) -> None:
    """Over seeds 0 to 4 it comes to 1e-5 or less."""
    assert callable(function)
    start = torch.full((20,), -7.0, dtype=torch.float64)
    search = PGPE(start, std=2.0, learning_rate_decay=0.995, maximize=False)
    for _ in range(generations):
        x = search.ask()
        search.tell(x, function(x))
    assert function(search.center[None]).item() < 1e-3


def counted(baseline: str, f: Vector) -> Vector:
    """What scores count for, by hand."""
    if baseline == "mean":
        return f - f.mean()
    if baseline == "standardized":
        return (f - f.mean()) / f.std()
    below, equal = (f[:, None] > f).sum(1), (f[:, None] == f).sum(1)
    ranks: Vector = (below + (equal - 1) / 2) / (len(f) - 1) - 0.5
    return ranks


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("std_learning_rate", [0.1, 1.5])
def test_update_is_the_papers(baseline: str, std_learning_rate: float) -> None:
    """Against NumPy references of it and of ClipUp, over six generations with every option at work."""
    first = np.array([1.0, 2.0, 0.5, 1.0])
    search = PGPE(
        torch.ones(4, dtype=torch.float64),
        population=10,
        std=torch.from_numpy(first),
        learning_rate=0.3,
        std_learning_rate=std_learning_rate,
        baseline=baseline,
        learning_rate_decay=0.9,
        min_std=0.7,
    )
    center, std, velocity = np.ones(4), first, np.zeros(4)
    clipped, floored = [], []
    for t in range(6):
        x = search.ask()
        scores = torch.cos(x).sum(1).round(decimals=1)
        metrics = search.tell(x, scores)
        u, d = counted(baseline, scores.numpy()), (x.numpy()[0::2] - x.numpy()[1::2]) / 2
        plus, minus = u[0::2, None], u[1::2, None]
        g = ((plus - minus) / 2 * d).mean(0)
        h = (((plus + minus) / 2 - u.mean()) * (d**2 - std**2) / std).mean(0)
        speed = 0.3 * 0.9**t
        velocity = 0.9 * velocity + speed * g / np.linalg.norm(g)
        velocity = velocity * min(1, 2 * speed / np.linalg.norm(velocity))
        center = center + velocity
        change = std_learning_rate * h / std
        clipped += list(abs(change) > 0.2)
        std = np.maximum(std * (1 + np.clip(change, -0.2, 0.2)), 0.7 * first)
        floored += list(std == 0.7 * first)
        np.testing.assert_allclose(search.center, center, rtol=1e-9)
        np.testing.assert_allclose(search.std, std, rtol=1e-9)
        assert metrics["search/std_floor"] == np.mean(floored[-4:])
    assert any(clipped) == (std_learning_rate > 1)
    assert any(floored) or std_learning_rate < 1
    assert not all(clipped + floored)


def test_adam_steps_in_units_of_the_first_std() -> None:
    first = np.array([1.0, 2.0, 0.5, 1.0])
    ratio = first / first.mean()
    rates = {"learning_rate": 0.1, "optimizer": "adam"}
    search = PGPE(torch.ones(4, dtype=torch.float64), population=10, std=torch.from_numpy(first), **rates)
    center, m, v = np.ones(4), np.zeros(4), np.zeros(4)
    for t in range(1, 5):
        x = search.ask()
        scores = torch.cos(x).sum(1)
        search.tell(x, scores)
        gradient = counted("ranks", scores.numpy()) @ (x.numpy() - center) / 10 / ratio
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        center = center + 0.1 * ratio * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(search.center, center, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["clipup", "ClipUp", ClipUp, partial(ClipUp, momentum=0.9)])
def test_clipup_is_the_same_however_it_is_named(optimizer: Any) -> None:
    plain, named = (
        PGPE(torch.ones(3), population=8, std=torch.tensor([1.0, 2.0, 0.5]), learning_rate=0.3, optimizer=each)
        for each in ("clipup", optimizer)
    )
    x = plain.ask()
    for search in (plain, named):
        search.tell(x, torch.sin(x).sum(1))
    assert torch.equal(plain.center, named.center)


def test_std_changes_by_a_fifth_at_most() -> None:
    search = PGPE(torch.zeros(50), std_learning_rate=1e6, learning_rate=1e-9)
    x = search.ask()
    search.tell(x, -x.square().sum(1))
    assert search.std.unique().tolist() == pytest.approx([0.8, 1.2])
    still = PGPE(torch.zeros(50), std_learning_rate=1e6, std_max_change=0.0)
    still.tell(x, -x.square().sum(1))
    assert still.std.eq(1).all()


def test_golden_first_generation() -> None:
    """A change of these numbers is a change of every result published with this version."""
    search = PGPE(torch.zeros(3), population=8)
    x = search.ask()
    search.tell(x, -(x - 1).square().sum(1))
    assert x[0].tolist() == pytest.approx(GOLDEN_SAMPLE, abs=1e-6)
    assert x[1].tolist() == pytest.approx([-value for value in GOLDEN_SAMPLE], abs=1e-6)
    assert search.center.tolist() == pytest.approx(GOLDEN_CENTER, abs=1e-6)
    assert search.std.tolist() == pytest.approx(GOLDEN_STD, abs=1e-6)


GOLDEN_SAMPLE = [-1.0794191, 1.0510826, -0.9177988]
GOLDEN_CENTER = [0.0142718, 0.0002655, 0.0559426]
GOLDEN_STD = [0.9898333, 0.9982768, 0.9967332]


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    ("scores", "failed"), [([4.0] * 6, 0), ([torch.nan] * 6, 6), ([torch.nan, 1.0, 2.0, torch.inf, 4.0, torch.nan], 3)]
)
def test_where_nothing_can_be_learned_it_stays(baseline: str, scores: list[float], failed: int) -> None:
    search = PGPE(torch.ones(2), population=6, std=2.0, baseline=baseline)
    metrics = search.tell(search.ask(), torch.tensor(scores))
    assert (metrics["search/stalled"], metrics["search/failed"], metrics["search/step_norm"]) == (1, failed, 0)
    assert (search.center.tolist(), search.std.tolist()) == ([1, 1], [2, 2])
    assert search.generation == 1


@pytest.mark.parametrize("baseline", BASELINES)
def test_half_a_pair_leaves_the_other_pairs_alone(baseline: str) -> None:
    partly, alone = (PGPE(torch.ones(3), population=8, baseline=baseline) for _ in range(2))
    x = partly.ask()
    scores = torch.sin(x).sum(1)
    others = [0, 1, 2, 3, 6, 7]
    alone.tell(x[others], scores[others])
    scores[5] = torch.nan
    metrics = partly.tell(x, scores)
    assert (metrics["search/failed"], metrics["search/stalled"]) == (1, 0)
    assert torch.equal(partly.center, alone.center)
    assert torch.equal(partly.std, alone.std)
    assert not partly.center.eq(1).any()


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("center", [0.0, 1000.0])
def test_pairs_that_differ_without_a_gradient_move_std_alone(baseline: str, center: float) -> None:
    search = PGPE(torch.full((2,), center), population=4, baseline=baseline)
    d = torch.tensor([[1.0, 2.0], [-1.0, -2.0], [2.0, 0.5], [-2.0, -0.5]])
    metrics = search.tell(center + d, torch.tensor([1.0, 1.0, 3.0, 3.0]))
    assert (metrics["search/gradient_norm"], metrics["search/stalled"]) == (0, 0)
    assert search.center.eq(center).all()
    assert search.std[0] > 1 > search.std[1] > 0


@pytest.mark.parametrize(
    ("dtype", "min_std"),
    [(torch.float32, 1e-6), (torch.float32, 0.1), (torch.float64, 1e-8), (torch.float64, 0.1)],
)
def test_all_stays_finite_with_std_at_its_floor(dtype: torch.dtype, min_std: float) -> None:
    """A score that always prefers the center narrows the search without end."""
    search, at_floor = PGPE(torch.zeros(3, dtype=dtype), std=2.0, min_std=min_std, std_learning_rate=1.0), []
    for _ in range(400):
        x = search.ask()
        metrics = search.tell(x, -(x - search.center).square().sum(1))
        at_floor.append(metrics.get("search/std_floor"))
        assert search.center.isfinite().all()
        assert search.std.min().item() > 1.999 * min_std
        assert all(np.isfinite(value) for value in metrics.values())
    assert 1.0 in at_floor[-100:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 7}, "population must be even, for mirrored pairs, got 7"),
        ({"baseline": "center"}, "baseline must be one of mean, standardized, ranks, got 'center'"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\), got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be .* got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be .* got nan"),
        ({"learning_rate_decay": 0.0}, r"learning_rate_decay must be a number in \(0, 1\], got 0.0"),
        ({"std_learning_rate": -1}, r"std_learning_rate must be a number in \[0, inf\), got -1"),
        ({"std_max_change": 1.1}, r"std_max_change must be a number in \[0, 1\], got 1.1"),
        ({"min_std": 0}, r"min_std must be a number in \(0, 1\], got 0"),
        ({"optimizer": "lbfgs"}, "optimizer 'lbfgs' cannot be used here"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PGPE(torch.zeros(2), **arguments)


def test_the_fastest_step_is_the_papers_share_of_std() -> None:
    search = PGPE(torch.zeros(4), std=torch.tensor([3.0, 1.0, 1.0, 5.0]))
    assert 2 * search.learning_rate == pytest.approx(6 / 15)
