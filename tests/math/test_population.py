"""Noise of low rank is what its dense form is, and so is everything that is made of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.policies.parts.layers import Residual
from torchpolicy.rollout.make import make_rollout
from torchpolicy.rollout.members import Members, population_forward
from torchpolicy.vectors.dense import DensePopulation, as_population
from torchpolicy.vectors.factors import Factors
from torchpolicy.vectors.low_rank import LowRankPopulation
from torchpolicy.vectors.noise import LowRankNoise
from torchpolicy.vectors.shaping import SHAPINGS

RANKS = [1, 3]


class Both(nn.Module):
    """A layer that is no direct path's, and uses its matrices in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(9, 9), nn.Linear(9, 9)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(torch.tanh(self.inner(x)))


def module(kind: str) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.Linear(9, 9)
    parts: dict[str, list[nn.Module]] = {
        "mlp": [nn.Linear(4, 9), nn.Tanh(), middle, nn.ReLU()],
        "tied": [nn.Linear(4, 9), nn.Tanh(), middle, nn.Tanh(), middle],
        "norm": [nn.Linear(4, 9, bias=False), nn.LayerNorm(9), nn.Tanh()],
        "residual": [nn.Linear(4, 9), Residual(nn.LayerNorm(9), middle, nn.Tanh(), nn.Linear(9, 9))],
        "own": [nn.Linear(4, 9), Both()],
        "shared with own": [nn.Linear(4, 9), middle, Both()],
        "frozen": [nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 9).requires_grad_(False), nn.Tanh()],
    }
    chosen = parts[kind]
    if kind == "shared with own":
        chosen[-1].inner.weight = middle.weight
    return nn.Sequential(*chosen, nn.Linear(9, 5))


def population(vector: tp.ParamVector, rank: int, count: int = 6, *, mirrored: bool = True) -> LowRankPopulation:
    noise = LowRankNoise(vector.slices, rank, mirrored=mirrored)
    return noise.draw(vector.read(), vector.initial_scale(), count, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("kind", ["mlp", "tied", "norm", "residual", "own", "shared with own", "frozen"])
@torch.no_grad()
def test_the_forward_is_that_of_the_dense_members(kind: str, rank: int) -> None:
    net = module(kind)
    vector = tp.ParamVector(net)
    drawn = population(vector, rank).with_center()
    members = Members(net, vector, 7, noise_rank=rank)
    members.accept(drawn)
    members.write(slice(0, 5), drawn[:5])
    members.write(5, drawn[5])
    members.write(torch.tensor([6]), drawn[torch.tensor([6])])
    inputs = torch.randn(7, 3, 4)
    expected = population_forward(net, vector, drawn.dense())(inputs)
    torch.testing.assert_close(members(inputs), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(population_forward(net, vector, drawn)(inputs), members(inputs))
    torch.testing.assert_close(members(inputs)[6], net(inputs[6]), atol=1e-5, rtol=1e-4)  # the center


@pytest.mark.parametrize("rank", RANKS)
def test_rows_and_pairs(rank: int) -> None:
    vector = tp.ParamVector(module("mlp"))
    drawn = population(vector, rank)
    dense = drawn.dense()
    assert drawn.shape == dense.shape == (6, vector.dim)
    assert isinstance(drawn.noise["2.weight"], Factors)
    assert not isinstance(drawn.noise["2.bias"], Factors)
    for rows in (slice(1, 4), torch.tensor([5, 0]), np.array([2, 2]), torch.tensor([True, False] * 3), 3):
        torch.testing.assert_close(drawn[rows].dense(), dense[rows].reshape(-1, vector.dim))
    torch.testing.assert_close(dense[0::2] + dense[1::2], 2 * vector.read().expand(3, -1))
    torch.testing.assert_close(drawn.with_center().dense()[-1], vector.read())
    torch.testing.assert_close(
        LowRankPopulation.of_center(vector.read(), vector.slices, rank).dense()[0], vector.read()
    )


@pytest.mark.parametrize("rank", RANKS)
def test_sums_are_those_of_the_dense_deviations(rank: int) -> None:
    vector = tp.ParamVector(module("mlp"))
    drawn = population(vector, rank, mirrored=False)
    weights, squares = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    first, second = drawn.weighted_sums(weights, squares)
    expected, each = as_population(drawn.dense(), drawn.center).weighted_sums(weights, squares)
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-4)
    for name, where in vector.slices.items():
        one = isinstance(drawn.noise[name], Factors)
        torch.testing.assert_close(second[where], each[where].mean().expand(each[where].shape) if one else each[where])


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *((tp.NES, {"baseline": name, "optimizer": "sgd", "learning_rate": 0.02}) for name in SHAPINGS),
        (tp.NES, {"mirrored": False, "optimizer": "sgd", "weight_decay": 0.1}),
        (tp.PGPE, {"std_learning_rate": 0.0}),
        (tp.ARS, {"top_directions": 3}),
    ],
)
def test_an_update_is_that_of_the_dense_candidates(kind: Any, settings: dict[str, Any], rank: int) -> None:
    vector = tp.ParamVector(module("mlp"))
    common = {"population": 8, "std": 0.1, "seed": 3, "slices": vector.slices, "noise_rank": rank}
    low, dense = (kind(vector.read(), **common, **settings) for _ in range(2))
    for _ in range(3):
        asked = low.ask()
        assert isinstance(asked, LowRankPopulation)
        dense.ask()  # their random streams are the same
        scores = (asked.dense() - 1).square().sum(1).neg()
        scores[2] = torch.nan
        told = low.tell(asked, scores), dense.tell(asked.dense(), scores)
        assert told[0] == pytest.approx(told[1], rel=1e-3)
        torch.testing.assert_close(low.center, dense.center, atol=1e-5, rtol=1e-4)
    assert not torch.equal(low.center, vector.read())


def test_noise_has_variance_one_and_no_correlations() -> None:
    slices = tp.ParamVector(nn.Linear(5, 4)).slices
    center = torch.zeros(slices.dim)
    for rank, kurtosis in ((1, 9.0), (2, 6.0)):
        noise = LowRankNoise(slices, rank)
        drawn = noise.draw(center, torch.ones(24), 40_000, torch.Generator().manual_seed(0)).dense()
        assert torch.allclose(drawn.T @ drawn / 40_000, torch.eye(24), atol=0.05)
        assert drawn.mean(0).abs().max() < 0.03
        assert float(drawn[:, :20].pow(4).mean()) == pytest.approx(kurtosis, rel=0.1)  # 3 + 6 / r


def test_a_full_rank_is_dense_noise() -> None:
    slices = tp.ParamVector(nn.Linear(5, 4)).slices
    drawn = LowRankNoise(slices, 3).draw(torch.zeros(24), torch.ones(24), 40_000, torch.Generator().manual_seed(0))
    assert not any(isinstance(noise, Factors) for noise in drawn.noise.values())  # 3 (4 + 5) are more than 4 5
    dense = drawn.dense()
    assert torch.allclose(dense.T @ dense / 40_000, torch.eye(24), atol=0.05)
    assert float(dense.pow(4).mean()) == pytest.approx(3, rel=0.05)


def test_pgpe_keeps_one_std_a_matrix() -> None:
    vector = tp.ParamVector(module("mlp"))
    search = tp.PGPE(vector.read(), population=20, std=0.1, slices=vector.slices, noise_rank=1)
    for _ in range(5):
        asked = search.ask()
        search.tell(asked, -(asked.dense() - 3).square()[:, :9].sum(1))
    std = vector.unflatten(search.std)
    assert all((std[f"{layer}.weight"] == std[f"{layer}.weight"][0, 0]).all() for layer in (0, 2, 4))
    assert not (search.std == search.std[0]).all()
    assert torch.isfinite(search.std).all()


@pytest.mark.parametrize("kind", [tp.NES, tp.PGPE, tp.ARS])
def test_mistakes_are_named(kind: Any) -> None:
    vector = tp.ParamVector(nn.Linear(5, 4))
    with pytest.raises(ValueError, match=r"noise_rank needs slices=, .* got None"):
        kind(vector.read(), noise_rank=1)
    with pytest.raises(ValueError, match="noise_rank must be an integer >= 1, got 0"):
        kind(vector.read(), noise_rank=0, slices=vector.slices)
    with pytest.raises(ValueError, match="slices are of 24 numbers, center has 7"):
        kind(torch.zeros(7), noise_rank=1, slices=vector.slices)
    with pytest.raises(ValueError, match="std should be one number in all of weight"):
        kind(vector.read(), noise_rank=1, slices=vector.slices, std=torch.linspace(1, 2, 24))


def test_the_center_baseline_is_for_dense_noise() -> None:
    vector = tp.ParamVector(nn.Linear(5, 4))
    with pytest.raises(ValueError, match="baseline 'center' has no noise_rank"):
        tp.NES(vector.read(), baseline="center", mirrored=False, noise_rank=1, slices=vector.slices)


def test_a_million_weights_take_little() -> None:
    net = nn.Sequential(nn.Linear(17, 980), nn.Tanh(), nn.Linear(980, 980), nn.Tanh(), nn.Linear(980, 6))
    vector = tp.ParamVector(net)
    drawn = tp.NES(vector.read(), population=256, std=0.1, slices=vector.slices, noise_rank=1).ask()
    assert isinstance(drawn, LowRankPopulation)
    assert sum(each.numel() for noise in drawn.noise.values() for each in noise) < 0.05 * 256 * vector.dim


def test_the_center_is_one_more_row_without_a_copy() -> None:
    vectors, center = torch.randn(5, 3), torch.randn(3)
    together, dense = DensePopulation(vectors, center).with_center(), torch.cat([vectors, center[None]])
    assert together.shape == dense.shape
    assert len(together) == 6
    for rows in (0, 5, torch.tensor([5, 1, 5]), torch.tensor([4]), torch.arange(6)):
        assert torch.equal(together[rows].dense(), dense[rows].reshape(-1, 3))
    assert torch.equal(together.dense(), dense)
    assert torch.equal(vectors, dense[:5])


@pytest.mark.parametrize("backend", ["native", "gymnasium"])
def test_the_center_that_plays_along_is_the_center(backend: str) -> None:
    environment = make_environment("CartPole-v1", backend=backend)
    policy = tp.LinearPolicy(*environment.spaces)
    vectors, center = torch.zeros(40, 10), torch.tensor([-0.1, -0.3, -1, -1, 0.1, 0.3, 1, 1, 0, 0])
    with make_rollout(environment, policy) as rollout:
        returns = rollout.play(DensePopulation(vectors, center).with_center(), [1]).returns[:, 0]
    assert returns[-1] == 500
    assert max(returns[:-1]) < 50
