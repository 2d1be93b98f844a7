from math import log, sqrt

import numpy as np
import pytest
import torch
from functions import ellipsoid, sphere
from numpy.typing import NDArray
from torch import Tensor

from torchpolicy import XNES

Array = NDArray[np.float64]


def rotated(x: Tensor) -> Tensor:
    """The ellipsoid with axes along no coordinate's."""
    noise = torch.randn(x.shape[1], x.shape[1], dtype=x.dtype, generator=torch.Generator().manual_seed(0))
    return ellipsoid((x - 3) @ torch.linalg.qr(noise)[0] + 3)


@pytest.mark.parametrize(("function", "generations"), [(sphere, 2000), (ellipsoid, 3000)])
def test_minimises_from_far_away(function: object, generations: int) -> None:
    """By default settings; over seeds 0 to 4 it comes to 4e-7 or less."""
    assert callable(function)
    search = XNES(torch.full((20,), -7.0, dtype=torch.float64), std=2.0, maximize=False)
    for _ in range(generations):
        x = search.ask()
        search.tell(x, function(x))
    assert function(search.center[None]).item() < 1e-4


@pytest.mark.parametrize("function", [ellipsoid, rotated])
def test_a_rotation_costs_nothing(function: object) -> None:
    """In 600 generations of 64; over seeds 0 to 4 it comes to 1e-10 or less."""
    assert callable(function)
    start = torch.full((20,), -7.0, dtype=torch.float64)
    search = XNES(start, population=64, std=2.0, shape_learning_rate=0.2, maximize=False)
    for _ in range(600):
        x = search.ask()
        search.tell(x, function(x))
    assert function(search.center[None]).item() < 1e-6


def utilities_of(f: Array) -> Array:
    """By hand; equal scores take the mean of theirs."""
    count, order = len(f), np.sort(f)[::-1]
    raw = np.array([max(0, log(count / 2 + 1) - log(k)) for k in range(1, count + 1)])
    values = raw / raw.sum() - 1 / count
    return np.array([values[order == score].mean() for score in f])


def exponential(symmetric: Array) -> Array:
    values, vectors = np.linalg.eigh(symmetric)
    result: Array = (vectors * np.exp(values)) @ vectors.T
    return result


@pytest.mark.parametrize("options", [{}, {"learning_rate": 0.5, "shape_learning_rate": 0.9, "min_std": 0.9}])
def test_update_is_the_papers(options: dict[str, float]) -> None:
    """Against a NumPy reference, over five generations, with scores of which some are equal."""
    first = np.array([1.0, 2.0, 0.5, 1.0])
    search = XNES(torch.ones(4, dtype=torch.float64), population=10, std=torch.from_numpy(first), **options)
    rate = options.get("shape_learning_rate", (9 + 3 * log(4)) / (5 * 4 * sqrt(4)))
    floor = options.get("min_std", 0) * first
    center, transform, at_floor = np.ones(4), np.diag(first), []
    for _ in range(5):
        x = search.ask()
        scores = torch.sin(x).sum(1).round(decimals=1)
        metrics = search.tell(x, scores)
        s, u = (x.numpy() - center) @ np.linalg.inv(transform).T, utilities_of(scores.numpy())
        center = center + options.get("learning_rate", 1) * transform @ (u @ s)
        shape = sum(weight * (np.outer(row, row) - np.eye(4)) for weight, row in zip(u, s, strict=True))
        transform = transform @ exponential(rate / 2 * shape)
        std = np.sqrt((transform**2).sum(1))
        transform = transform * (np.maximum(std, floor) / std)[:, None]
        np.testing.assert_allclose(search.center, center, rtol=1e-9)
        np.testing.assert_allclose(search.transform, transform, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(search.std, np.maximum(std, floor), rtol=1e-9)
        at_floor += list(std < floor)
        assert metrics["search/std_floor"] == np.mean(at_floor[-4:])
    assert any(at_floor) == bool(options)
    assert not all(at_floor)


def test_samples_have_the_covariance() -> None:
    search = XNES(torch.tensor([5.0, -5.0]), population=100_000)
    search.transform = torch.tensor([[1.0, 0.0], [2.0, 0.5]], dtype=torch.float64)
    x = search.ask()
    assert x.mean(0).tolist() == pytest.approx([5, -5], abs=0.03)
    torch.testing.assert_close(torch.cov(x.T), torch.tensor([[1.0, 2.0], [2.0, 4.25]]), atol=0, rtol=0.03)
    assert search.std.tolist() == pytest.approx([1, sqrt(4.25)])


def test_golden_first_generation() -> None:
    """A change of these numbers is a change of every result published with this version."""
    search = XNES(torch.zeros(3), population=8)
    x = search.ask()
    search.tell(x, x.sum(1))
    assert x[0].tolist() == pytest.approx(GOLDEN_SAMPLE, abs=1e-6)
    assert search.center.tolist() == pytest.approx(GOLDEN_CENTER, abs=1e-6)
    assert search.transform.flatten().tolist() == pytest.approx(GOLDEN_TRANSFORM, abs=1e-6)


GOLDEN_SAMPLE = [0.9682106, -1.32403, 0.2613403]
GOLDEN_CENTER = [0.6249777, 0.6131977, 0.4933633]
GOLDEN_TRANSFORM = [1.0127403, 0.1195499, 0.1331806, 0.1195499, 1.0379304, 0.0727165, 0.1331806, 0.0727165, 1.0059473]


@pytest.mark.parametrize(
    ("dtype", "min_std"),
    [(torch.float32, 1e-6), (torch.float32, 0.1), (torch.float64, 1e-8), (torch.float64, 0.1)],
)
def test_all_stays_finite_with_std_at_its_floor(dtype: torch.dtype, min_std: float) -> None:
    """A score that always prefers the center narrows the search without end."""
    search, at_floor = XNES(torch.zeros(3, dtype=dtype), std=2.0, min_std=min_std), []
    for _ in range(400):
        x = search.ask()
        metrics = search.tell(x, -(x - search.center).square().sum(1))
        at_floor.append(metrics.get("search/std_floor"))
        assert search.center.isfinite().all()
        assert search.transform.isfinite().all()
        assert search.std.min().item() > 1.999 * min_std
        assert all(np.isfinite(value) for value in metrics.values())
    assert 1.0 in at_floor[-100:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 1}, "population must be an integer >= 2, got 1"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\), got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be .* got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be .* got nan"),
        ({"shape_learning_rate": -0.1}, r"shape_learning_rate must be a number in \[0, inf\), got -0.1"),
        ({"min_std": 0}, r"min_std must be a number in \(0, 1\], got 0"),
        ({"std": 0.0}, "std must be positive and finite, got 0.0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        XNES(torch.zeros(2), **arguments)


def test_a_matrix_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="for D at most 2000, got 2001: take SNES"):
        XNES(torch.zeros(2001))


@pytest.mark.parametrize(("dim", "population"), [(1, 4), (20, 12)])
def test_defaults_are_the_papers(dim: int, population: int) -> None:
    search = XNES(torch.zeros(dim))
    assert search.population == population
    assert search.shape_learning_rate == pytest.approx(0.6 * (3 + log(dim)) / dim**1.5)
