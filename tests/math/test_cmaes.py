"""CMAES and SepCMA against the tutorial's equations in NumPy, and against known convergence."""

from math import exp, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from torchpolicy import CMAES, SepCMA
from torchpolicy.base.checkpoints import load_checkpoint, save_checkpoint
from torchpolicy.vectors.adaptation import adaptation


def constants(count: int, dim: int) -> dict[str, float]:
    """Table 1 of the tutorial, written out once more."""
    raw = [np.log((count + 1) / 2) - np.log(i) for i in range(1, count + 1)]
    better, worse = np.array([w for w in raw if w > 0]), np.array([w for w in raw if w < 0])
    mass = better.sum() ** 2 / (better**2).sum()
    c_1 = 2 / ((dim + 1.3) ** 2 + mass)
    c_mu = min(1 - c_1, 2 * (0.25 + mass + 1 / mass - 2) / ((dim + 2) ** 2 + 2 * mass / 2))
    c_s = (mass + 2) / (dim + mass + 5)
    return {
        "mass": mass,
        "c_1": c_1,
        "c_mu": c_mu,
        "c_s": c_s,
        "d_s": 1 + 2 * max(0, sqrt((mass - 1) / (dim + 1)) - 1) + c_s,
        "c_c": (4 + mass / dim) / (dim + 4 + 2 * mass / dim),
        "worse_mass": worse.sum() ** 2 / (worse**2).sum(),
    }


@pytest.mark.parametrize(("count", "dim"), [(7, 2), (10, 10), (31, 5), (100, 40)])
def test_weights_and_rates_are_the_tutorials(count: int, dim: int) -> None:
    rates, known = adaptation(count, dim), constants(count, dim)
    weights = rates.weights.flip(0).numpy()
    assert weights[weights > 0].sum() == pytest.approx(1)
    limit = min(
        1 + known["c_1"] / known["c_mu"],
        1 + 2 * known["worse_mass"] / (known["mass"] + 2),
        (1 - known["c_1"] - known["c_mu"]) / (dim * known["c_mu"]),
    )
    assert -weights[weights < 0].sum() == pytest.approx(limit)
    assert (rates.mass, rates.rank_one, rates.rank_mu) == pytest.approx((known["mass"], known["c_1"], known["c_mu"]))
    found = rates.scale_rate, rates.damping, rates.path_rate
    assert found == pytest.approx((known["c_s"], known["d_s"], known["c_c"]))


def test_updates_are_the_tutorials() -> None:
    """Five generations, with a covariance that is decomposed in each of them."""
    dim, count, std = 3, 8, 0.7
    search = CMAES(torch.zeros(dim, dtype=torch.float64), population=count, std=std, maximize=False, seed=1)
    k, weights = constants(count, dim), adaptation(count, dim).weights.flip(0).numpy()
    mean, scale, shape, p_s, p_c = np.zeros(dim), std, np.eye(dim), np.zeros(dim), np.zeros(dim)
    expected = sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2))
    for generation in range(5):
        x = search.ask()
        scores = ((x - 2) ** 2 * torch.tensor([1.0, 10.0, 100.0])).sum(1)
        search.tell(x, scores)
        y = (x.numpy()[np.argsort(scores.numpy())] - mean) / scale
        values, axes = np.linalg.eigh(shape)
        inverse_root = axes / np.sqrt(values) @ axes.T
        step = np.maximum(weights, 0) @ y
        mean = mean + scale * step
        p_s = (1 - k["c_s"]) * p_s + sqrt(k["c_s"] * (2 - k["c_s"]) * k["mass"]) * inverse_root @ step
        length = np.linalg.norm(p_s)
        h = length / sqrt(1 - (1 - k["c_s"]) ** (2 * (generation + 1))) < (1.4 + 2 / (dim + 1)) * expected
        p_c = (1 - k["c_c"]) * p_c + h * sqrt(k["c_c"] * (2 - k["c_c"]) * k["mass"]) * step
        v = np.where(weights < 0, weights * dim / ((y @ inverse_root) ** 2).sum(1), weights)
        kept = 1 + k["c_1"] * (1 - h) * k["c_c"] * (2 - k["c_c"]) - k["c_1"] - k["c_mu"] * weights.sum()
        shape = kept * shape + k["c_1"] * np.outer(p_c, p_c) + k["c_mu"] * (y.T * v) @ y
        scale = scale * exp(k["c_s"] / k["d_s"] * (length / expected - 1))
        np.testing.assert_allclose(search.center, mean, rtol=1e-10)
        np.testing.assert_allclose(search.scale * std, scale, rtol=1e-10)
        np.testing.assert_allclose(search.covariance, shape, rtol=1e-8, atol=1e-12)


def test_updates_of_the_diagonal_are_ros_and_hansens() -> None:
    dim, count = 6, 9
    std = torch.linspace(0.5, 2, dim, dtype=torch.float64)
    search = SepCMA(torch.ones(dim, dtype=torch.float64), population=count, std=std, maximize=False, seed=2)
    k, weights = constants(count, dim), adaptation(count, dim, diagonal=True).weights.flip(0).numpy()
    c_1, c_mu = (k[name] * (dim + 2) / 3 for name in ("c_1", "c_mu"))
    mean, scale, shape, p_s, p_c = np.ones(dim), 1.0, np.ones(dim), np.zeros(dim), np.zeros(dim)
    expected = sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2))
    for generation in range(5):
        x = search.ask()
        scores = (x**2 * torch.arange(1, dim + 1)).sum(1)
        search.tell(x, scores)
        y = (x.numpy()[np.argsort(scores.numpy())] - mean) / (scale * std.numpy())
        step = weights @ y
        mean = mean + scale * std.numpy() * step
        p_s = (1 - k["c_s"]) * p_s + sqrt(k["c_s"] * (2 - k["c_s"]) * k["mass"]) * step / np.sqrt(shape)
        length = np.linalg.norm(p_s)
        h = length / sqrt(1 - (1 - k["c_s"]) ** (2 * (generation + 1))) < (1.4 + 2 / (dim + 1)) * expected
        p_c = (1 - k["c_c"]) * p_c + h * sqrt(k["c_c"] * (2 - k["c_c"]) * k["mass"]) * step
        shape = (
            (1 + c_1 * (1 - h) * k["c_c"] * (2 - k["c_c"]) - c_1 - c_mu) * shape + c_1 * p_c**2 + c_mu * weights @ y**2
        )
        scale = scale * exp(k["c_s"] / k["d_s"] * (length / expected - 1))
        np.testing.assert_allclose(search.center, mean, rtol=1e-10)
        np.testing.assert_allclose(search.variances, shape, rtol=1e-10)
        assert search.scale == pytest.approx(scale)


@pytest.mark.parametrize(("kind", "most"), [(CMAES, 6_000), (SepCMA, 4_000)])
def test_a_long_ellipsoid_is_learned(kind: type[CMAES | SepCMA], most: int) -> None:
    """Condition 1e6 in 10 dimensions to 1e-8; pycma takes 3,900 evaluations, and 2,250 with a diagonal."""
    search, evaluations = kind(torch.full((10,), 3.0, dtype=torch.float64), std=2.0, maximize=False, seed=3), 0
    axes = 10.0 ** torch.linspace(0, 6, 10, dtype=torch.float64)
    while evaluations < most:
        x = search.ask()
        scores = (axes * x**2).sum(1)
        search.tell(x, scores)
        evaluations += len(x)
        if scores.min() < 1e-8:
            return
    pytest.fail(f"best after {evaluations} evaluations: {scores.min()}")


def test_a_checkpoint_brings_back_the_same_bits(tmp_path: Path) -> None:
    """Matrices come back in another order in memory than a decomposition leaves them in, which products would show."""

    def step(search: CMAES) -> None:
        candidates = search.ask()
        search.tell(candidates, -(candidates.square() * torch.linspace(1, 30, 60)).sum(1))

    whole, part = (CMAES(torch.linspace(1, 2, 60), std=0.5, seed=4) for _ in range(2))
    for generation in range(120):
        step(whole)
        step(part)
        save_checkpoint(tmp_path / "checkpoints", generation, part.state_dict())
        state, _ = load_checkpoint(tmp_path / "checkpoints")
        assert state is not None
        part = CMAES(torch.linspace(1, 2, 60), std=0.5, seed=4)
        part.load_state_dict({name: state[name] for name in whole.state_dict()})
    assert torch.equal(part.center, whole.center)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", [CMAES, SepCMA])
def test_scores_by_chance_that_are_often_equal_do_not_narrow_it(kind: type[CMAES | SepCMA], share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = []
    for seed in range(5):
        search = kind(torch.zeros(20), population=20, seed=seed)
        for _ in range(100):
            search.tell(search.ask(), (torch.rand(20, generator=generator) < share).double())
        spread.append(float(search.std.mean()))
    assert 0.2 < np.median(spread) < 3


@pytest.mark.parametrize("kind", [CMAES, SepCMA])
def test_the_center_moves_to_the_mean_of_many_equal_ones(kind: type[CMAES | SepCMA]) -> None:
    search = kind(torch.zeros(6, dtype=torch.float64), population=10, seed=0)
    candidates = search.ask()
    scores = torch.ones(10)
    scores[3] = 0
    expected = torch.as_tensor(candidates)[scores > 0].mean(0)
    search.tell(candidates, scores)
    torch.testing.assert_close(search.center, expected)
