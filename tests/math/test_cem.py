import numpy as np
import pytest
import torch
from functions import ellipsoid, rosenbrock, sphere

from torchpolicy import CEM


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("function", [sphere, ellipsoid])
def test_minimises_from_far_away(function: object, maximize: bool) -> None:
    """By default settings; the start is 20 times the first std from the optimum in all."""
    assert callable(function)
    search = CEM(torch.full((20,), -7.0, dtype=torch.float64), std=2.0, maximize=maximize)
    for _ in range(900):
        x = search.ask()
        search.tell(x, -function(x) if maximize else function(x))
    assert function(search.center[None]).item() < 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_follows_the_valley_of_rosenbrock(seed: int) -> None:
    search = CEM(torch.tensor([-1.5, 2.0]), population=100, maximize=False, seed=seed)
    for _ in range(500):
        x = search.ask()
        search.tell(x, rosenbrock(x))
    assert rosenbrock(search.center[None]).item() < 1e-2


def test_update_is_the_papers() -> None:
    """Against a NumPy reference, over three generations with every option at work."""
    search = CEM(
        torch.zeros(4, dtype=torch.float64),
        population=10,
        elite_fraction=0.3,
        std=torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64),
        extra_variance=0.05,
        extra_variance_decay=0.03,
        smoothing=0.25,
        std_smoothing=0.4,
        min_std=0.3,
    )
    first = np.array([1.0, 2.0, 0.5, 1.0])
    mean, std = np.zeros(4), first
    for t in range(3):
        x = search.ask()
        scores = torch.sin(x).sum(1)
        search.tell(x, scores)
        elite = x.numpy()[np.argsort(-scores.numpy())[:3]]
        noise = max(0.05 - 0.03 * t, 0) * first**2
        mean = 0.25 * mean + 0.75 * elite.mean(0)
        std = np.maximum(0.4 * std + 0.6 * np.sqrt(elite.var(0, ddof=1) + noise), 0.3 * first)
        np.testing.assert_allclose(search.center, mean, rtol=1e-12)
        np.testing.assert_allclose(search.std, std, rtol=1e-12)
    assert (search.std > 0.3 * search.initial_std).any()


@pytest.mark.parametrize(("dim", "population", "rate"), [(4, 15, 3 / 19), (4, 60, 0.2), (12, 8, 0.1)])
def test_smoothing_by_default_follows_elite_and_way(dim: int, population: int, rate: float) -> None:
    """Against a NumPy reference: a rate within its bounds and at both of them."""
    search = CEM(torch.zeros(dim, dtype=torch.float64), population=population, std=2.0, smoothing=0.3)
    mean, std, ways = np.zeros(dim), np.full(dim, 2.0), []
    for _ in range(4):
        x = search.ask()
        scores = x[:, 0] + torch.sin(x).sum(1)
        search.tell(x, scores)
        elite = x.numpy()[np.argsort(-scores.numpy())[: max(2, round(0.2 * population))]]
        way = (elite.mean(0) - mean) / std
        kept = 1 - rate * np.maximum(1 - 2 * way**2, 0)
        mean = 0.3 * mean + 0.7 * elite.mean(0)
        std = kept * std + (1 - kept) * elite.std(0, ddof=1)
        ways.append(2 * way**2)
        np.testing.assert_allclose(search.center, mean, rtol=1e-12)
        np.testing.assert_allclose(search.std, std, rtol=1e-12)
    assert np.min(ways) < 1 < np.max(ways)


@pytest.mark.parametrize("seed", range(3))
def test_std_follows_soon_enough_for_a_long_ellipsoid(seed: int) -> None:
    """10,000 evaluations in 10 dimensions; with a smoothing of 0.92 they end at about 1."""
    search = CEM(torch.zeros(10, dtype=torch.float64), std=2.0, maximize=False, seed=seed)
    for _ in range(156):
        x = search.ask()
        search.tell(x, ellipsoid(x))
    assert ellipsoid(search.center[None]).item() < 1e-2


def test_samples_have_the_mean_and_std() -> None:
    search = CEM(torch.tensor([5.0, -5.0]), population=100_000, std=torch.tensor([1.0, 0.1]))
    x = search.ask()
    assert x.mean(0).tolist() == pytest.approx([5, -5], abs=0.02)
    assert x.std(0).tolist() == pytest.approx([1, 0.1], rel=0.02)


def test_golden_first_generation() -> None:
    """A change of these numbers is a change of every result published with this version."""
    search = CEM(torch.zeros(3), population=8, std_smoothing=0.0)
    x = search.ask()
    search.tell(x, x.sum(1))
    assert x[0].tolist() == pytest.approx(GOLDEN_SAMPLE, abs=1e-6)
    assert search.center.tolist() == pytest.approx(GOLDEN_CENTER, abs=1e-6)


GOLDEN_SAMPLE = [-1.0250825, 1.2358177, -2.3456604]
GOLDEN_CENTER = [1.2801393, 0.9131289, 0.2477494]


def test_ties_are_broken_at_random() -> None:
    chosen = set()
    for seed in range(20):
        search = CEM(torch.zeros(1), population=10, std_smoothing=0.0, seed=seed)
        x = torch.arange(10.0)[:, None]
        search.tell(x, torch.tensor([0.0] + [1.0] * 9))
        chosen.add(search.center.item())
    assert len(chosen) > 5


def test_failed_candidates_are_never_elite() -> None:
    search = CEM(torch.zeros(1), population=6)
    x = torch.tensor([[9.0], [1.0], [2.0], [3.0], [9.0], [9.0]])
    metrics = search.tell(x, torch.tensor([torch.nan, 1.0, 2.0, 3.0, torch.inf, -torch.inf]))
    assert search.center.item() == 2.5
    assert metrics["search/failed"] == 3
    assert metrics["search/elite_size"] == 2


@pytest.mark.parametrize(
    "scores", [[1.0, 1.0, 1.0], [torch.nan] * 3, [torch.nan, torch.nan, 1.0], [2.0, torch.nan, 2.0]]
)
def test_where_nothing_can_be_learned_it_stays(scores: list[float]) -> None:
    search = CEM(torch.zeros(2), population=3)
    metrics = search.tell(search.ask(), torch.tensor(scores))
    assert metrics["search/stalled"] == 1
    assert not search.center.any()
    assert search.std.tolist() == [1, 1]
    assert search.generation == 1


def test_floor_of_std() -> None:
    search = CEM(torch.zeros(2), population=4, std_smoothing=0.0, min_std=0.01, std=2.0)
    for _ in range(50):
        x = search.ask()
        search.tell(x, -x.square().sum(1))
    assert search.std.min().item() == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 1}, "population must be an integer >= 2, got 1"),
        ({"population": True}, "population must be an integer >= 2, got True"),
        ({"elite_fraction": 0}, r"elite_fraction must be a number in \(0, 1\], got 0"),
        ({"elite_fraction": float("nan")}, "elite_fraction .* got nan"),
        ({"elite_fraction": "half"}, "elite_fraction .* got 'half'"),
        ({"std": 0.0}, "std must be positive and finite, got 0.0"),
        ({"std": float("nan")}, "std must be positive and finite, got nan"),
        ({"std": torch.ones(3)}, r"std must be a number or a vector of shape \(2,\)"),
        ({"std": True}, "std must be a number"),
        ({"smoothing": 1.5}, "smoothing must be a number in"),
        ({"extra_variance": -1}, "extra_variance must be a number in"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"seed": 0.5}, "seed must be an integer >= 0, got 0.5"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CEM(torch.zeros(2), **arguments)
