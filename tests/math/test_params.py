import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from torchpolicy import ParamVector


class Odd(nn.Module):
    """Tied and frozen weights, a scalar, an unregistered order, a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.norm(self.frozen(self.second(self.first(x))))


layers = st.one_of(
    st.tuples(st.just(nn.Linear), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.just(nn.Embedding), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.just(nn.Conv1d), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.just(nn.LayerNorm), st.integers(1, 4)),
)
trees = st.recursive(layers, lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6)


def build(tree: object) -> nn.Module:
    if isinstance(tree, list):
        return nn.Sequential(*(build(branch) for branch in tree))
    assert isinstance(tree, tuple)
    kind, *sizes = tree
    module: nn.Module = kind(*sizes)
    return module


@settings(max_examples=30)
@given(trees, st.lists(st.integers(0, 3), max_size=2))
def test_round_trips_on_any_module_tree(tree: object, batch: list[int]) -> None:
    module = build(tree)
    vector = ParamVector(module)
    assert torch.equal(vector.read(), parameters_to_vector(module.parameters()).detach())
    vectors = torch.randn(*batch, vector.dim)
    parts = vector.unflatten(vectors)
    assert torch.equal(vector.flatten(parts), vectors)
    assert all(part.shape == (*batch, *vector.shapes[name]) for name, part in parts.items())
    one = torch.randn(vector.dim)
    vector.write(one)
    assert torch.equal(vector.read(), one)


def test_unflatten_gives_views() -> None:
    vector = ParamVector(nn.Linear(2, 3))
    vectors = torch.zeros(4, 5, vector.dim)
    vector.unflatten(vectors)["bias"][1, 2] = 7.0
    assert vectors[1, 2, vector.slices["bias"]].tolist() == [7.0] * 3


def test_tied_once_frozen_and_buffers_kept() -> None:
    module = Odd()
    before = copy.deepcopy(module.state_dict())
    vector = ParamVector(module)
    assert list(vector.slices) == ["scale", "first.weight", "first.bias", "second.bias", "norm.weight", "norm.bias"]
    trainable = [p for p in module.parameters() if p.requires_grad]
    assert torch.equal(vector.read(), parameters_to_vector(trainable).detach())
    vector.write(torch.randn(vector.dim))
    assert module.second.weight is module.first.weight
    after = module.state_dict()
    for name in ("frozen.weight", "frozen.bias", "norm.running_mean", "norm.running_var"):
        assert torch.equal(after[name], before[name])


def test_read_is_a_copy() -> None:
    vector = ParamVector(module := nn.Linear(2, 2))
    vector.read().zero_()
    assert module.weight.any()


def test_dtype_is_kept() -> None:
    vector = ParamVector(module := nn.Linear(2, 2).double())
    assert vector.read().dtype is vector.dtype is torch.float64
    vector.write(torch.zeros(vector.dim, dtype=torch.float64))
    assert module.weight.dtype is torch.float64


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.ReLU(), "ReLU has no trainable parameters"),
        (nn.Linear(2, 2).requires_grad_(False), "no trainable parameters"),
        (nn.Linear(2, 2, dtype=torch.complex64), "'weight' is torch.complex64"),
        (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()), "torch.float32 on cpu, torch.float64 on cpu"),
    ],
)
def test_what_it_refuses(module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParamVector(module)


def test_wrong_shapes_are_named() -> None:
    vector = ParamVector(nn.Linear(2, 3))
    with pytest.raises(ValueError, match=r"expected a vector of shape \(9,\), got \(8,\)"):
        vector.write(torch.zeros(8))
    with pytest.raises(ValueError, match=r"\(\*B, 9\), got \(2, 8\)"):
        vector.unflatten(torch.zeros(2, 8))
    with pytest.raises(ValueError, match=r"missing or unknown: \['bias'\]"):
        vector.flatten({"weight": torch.zeros(3, 2)})
    with pytest.raises(ValueError, match=r"'bias' should end in shape \(3,\), got \(2,\)"):
        vector.flatten({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)})


def test_initial_scale_follows_fan_in() -> None:
    scale = ParamVector(nn.Sequential(nn.Linear(4, 2), nn.Linear(16, 1), nn.LayerNorm(1))).initial_scale()
    assert scale.tolist() == pytest.approx([0.5] * 10 + [0.25] * 17 + [0.1] * 2)
