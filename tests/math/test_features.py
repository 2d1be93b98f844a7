from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn

from torchpolicy import LinearPolicy, ParamVector, population_forward
from torchpolicy.policies.parts.features import Fourier, Polynomial

BOX = Box(-1, 1, (3,), np.float32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PRODUCTS = {
    1: lambda x, y, z: [x, y, z],
    2: lambda x, y, z: [x, y, z, x * x, x * y, x * z, y * y, y * z, z * z],
    3: lambda x, y, z: [
        *(x, y, z, x * x, x * y, x * z, y * y, y * z, z * z),
        *(x**3, x * x * y, x * x * z, x * y * y, x * y * z, x * z * z, y**3, y * y * z, y * z * z, z**3),
    ],
}


@pytest.mark.parametrize("degree", PRODUCTS)
def test_polynomial_is_all_products(degree: int) -> None:
    features, x = Polynomial(3, degree), torch.randn(4, 5, 3, dtype=torch.float64, generator=generator())
    expected = torch.stack(PRODUCTS[degree](*x.unbind(-1)), -1)
    assert features.size == expected.shape[-1]
    torch.testing.assert_close(features(x), expected)
    assert not features.state_dict()


@pytest.mark.parametrize("bandwidth", [1.0, 3.0])
def test_products_of_waves_are_the_gaussian_kernel(bandwidth: float) -> None:
    features = Fourier(4, 100_000, bandwidth, generator())
    x, y = torch.randn(2, 6, 4, generator=generator(1))
    kernel = torch.exp(-(x - y).square().sum(1) / (2 * bandwidth**2))
    assert (features(x) * features(y)).mean(1).tolist() == pytest.approx(kernel.tolist(), abs=0.02)
    assert features(x).square().mean(1).tolist() == pytest.approx([1] * 6, abs=0.02)


def test_same_seed_same_waves() -> None:
    x = torch.randn(5, 3, generator=generator())
    first, same, other = (Fourier(3, 7, 1.0, generator(seed))(x) for seed in (1, 1, 2))
    assert first.shape == (5, 7)
    assert torch.equal(first, same)
    assert not torch.isclose(first, other).all(0).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Polynomial(3, 0), "degree must be an integer >= 1, got 0"),
        (lambda: Polynomial(1000, 3), "degree 3 makes 167,668,500 products of 1000 inputs, at most 100,000 will do"),
        (lambda: Fourier(3, 0, 1.0, generator()), "waves must be an integer >= 1, got 0"),
        (lambda: Fourier(3, 5, 0.0, generator()), r"bandwidth must be a number in \(0, inf\), got 0"),
        (lambda: Fourier(3, 5, float("nan"), generator()), "bandwidth must be .* got nan"),
        (lambda: LinearPolicy(BOX, BOX, "cubic"), "features must be 'polynomial', 'fourier', .* got 'cubic'"),
        (lambda: LinearPolicy(BOX, BOX, nn.Conv2d(1, 1, 1)), r"features do not take a batch .* of shape \(3,\)"),
        (lambda: LinearPolicy(BOX, BOX, initial_scale=-1.0), r"initial_scale must be a number in \[0, inf\)"),
    ],
)
def test_arguments_out_of_range_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("features", "size"), [("polynomial", 9), ("fourier", 50)])
def test_a_linear_policy_of_features_acts_alone_and_as_a_population(features: str, size: int) -> None:
    policy = LinearPolicy(BOX, Discrete(4), features, waves=50, seed=3)
    vector = ParamVector(policy.net)
    assert vector.dim == 4 * (size + 1)
    observations = torch.randn(6, 3, generator=generator())
    assert Discrete(4).contains(policy.act(observations[0].numpy()))
    torch.testing.assert_close(policy.act(observations), policy(observations).argmax(1))

    vectors = torch.randn(6, vector.dim, generator=generator(1))
    outputs = population_forward(policy.net, vector, vectors)(observations[:, None])
    for member in range(6):
        vector.write(vectors[member])
        torch.testing.assert_close(outputs[member], policy(observations[member])[None])


@pytest.mark.parametrize("features", ["polynomial", "fourier"])
def test_features_precede_the_layer(features: str) -> None:
    policy = LinearPolicy(BOX, BOX, features, degree=3, waves=7, bandwidth=2.0, seed=3)
    layer = policy.net[-1]
    assert isinstance(layer, nn.Linear)
    x = torch.randn(6, 3, generator=generator())
    expected = Polynomial(3, 3)(x) if features == "polynomial" else policy.net[0](x)
    torch.testing.assert_close(policy(x), expected @ layer.weight.T + layer.bias)
    same, other = (LinearPolicy(BOX, BOX, features, degree=3, waves=7, bandwidth=2.0, seed=seed) for seed in (3, 4))
    assert torch.equal(same(x), policy(x))
    assert not torch.isclose(other(x), policy(x)).all()


def test_a_module_of_features_is_searched_with_the_layer() -> None:
    module = nn.Sequential(nn.Linear(3, 5), nn.Dropout(), nn.Tanh())
    policy = LinearPolicy(BOX, Discrete(2), module)
    assert ParamVector(policy.net).dim == 3 * 5 + 5 + 5 * 2 + 2
    assert module.training
    assert policy.settings is None


@pytest.mark.parametrize("features", [None, "polynomial", "fourier"])
def test_initial_scale_scales_the_first_weights(features: str | None) -> None:
    def weights(scale: float) -> Tensor:
        return ParamVector(LinearPolicy(BOX, BOX, features, initial_scale=scale, seed=1).net).read()

    assert not weights(0).any()
    torch.testing.assert_close(weights(3), 3 * weights(1))
    assert weights(1).abs().min() > 0
