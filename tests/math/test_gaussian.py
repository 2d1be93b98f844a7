import numpy as np
import pytest
import torch
from torch import Tensor

from torchpolicy.vectors.gaussian import BLOCK, draw, weighted_sum, weighted_sums


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mirrored", [False, True])
def test_samples_have_the_mean_and_std(mirrored: bool) -> None:
    center, std = torch.tensor([5.0, -5.0, 0.0]), torch.tensor([1.0, 0.1, 3.0])
    noise = (draw(center, std, 100_000, generator(), mirrored=mirrored) - center) / std
    assert noise.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert noise.std(0).tolist() == pytest.approx([1, 1, 1], rel=0.02)
    assert noise.pow(4).mean(0).tolist() == pytest.approx([3, 3, 3], rel=0.05)
    assert torch.corrcoef(noise.T).triu(1).abs().max() < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_mirrored_rows_lie_on_either_side_of_the_center(dtype: torch.dtype) -> None:
    center = torch.linspace(-100, 100, 7, dtype=dtype)
    x = draw(center, torch.full_like(center, 0.5), 10, generator(), mirrored=True)
    assert x.dtype is dtype
    torch.testing.assert_close(x[0::2] + x[1::2], (2 * center).expand(5, 7), rtol=0, atol=400 * torch.finfo(dtype).eps)
    assert len(torch.unique(x[0::2], dim=0)) == 5


@pytest.mark.parametrize("mirrored", [False, True])
def test_more_than_a_block_is_drawn_as_well(mirrored: bool) -> None:
    dim, count = 200_000, 6
    assert dim * count > BLOCK
    center, std = torch.linspace(-1, 1, dim), torch.linspace(0.5, 2, dim)
    x = draw(center, std, count, generator(), mirrored=mirrored)
    noise = (x - center) / std
    assert noise.mean(1).tolist() == pytest.approx([0] * count, abs=0.015)
    assert noise.std(1).tolist() == pytest.approx([1] * count, rel=0.01)
    between = torch.corrcoef(noise) - torch.eye(count)
    if mirrored:
        assert torch.diag(between[0::2, 1::2]).tolist() == pytest.approx([-1] * 3)
        between[[0, 1, 2, 3, 4, 5], [1, 0, 3, 2, 5, 4]] = 0
    assert between.abs().max() < 0.015
    assert torch.equal(draw(center, std, count, generator(), mirrored=mirrored), x)
    assert not torch.equal(draw(center, std, count, generator(1), mirrored=mirrored), x)


@pytest.mark.parametrize(("count", "dim"), [(2, 1), (5, 7), (1, BLOCK), (6, 200_000), (300, 2000), (BLOCK + 1, 2)])
def test_weighted_sums_are_numpys(count: int, dim: int) -> None:
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=source)

    source = generator()
    candidates, center, weights, others = normal(count, dim), normal(dim), normal(count), normal(count)
    copies = [tensor.clone() for tensor in (candidates, center, weights, others)]
    first, second = weighted_sums(candidates, center, weights, others)
    deviations = candidates.numpy() - center.numpy()
    np.testing.assert_allclose(first, weights.numpy() @ deviations, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(second, others.numpy() @ deviations**2, rtol=1e-9, atol=1e-9)
    assert torch.equal(weighted_sum(candidates, center, weights), first)
    assert all(torch.equal(*pair) for pair in zip((candidates, center, weights, others), copies, strict=True))


def test_deviations_of_float32_have_weights_of_any_float() -> None:
    weights = torch.tensor([1, 2]).double()
    first, second = weighted_sums(torch.full((2, 3), 3.0), torch.ones(3), weights, weights)
    assert first.dtype is second.dtype is torch.float32
    assert (first.tolist(), second.tolist()) == ([6] * 3, [12] * 3)
