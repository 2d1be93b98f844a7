from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from torchpolicy import ParamVector, population_forward
from torchpolicy.policies.parts.layers import Branches, ChannelsFirst
from torchpolicy.rollout.members import Members
from torchpolicy.rollout.stages import member_weights, vmap_forward


class Custom(nn.Module):
    """Known only to vmap: uses its layer twice, and a frozen one beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.frozen = nn.Linear(5, 2).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(torch.tanh(self.layer(self.layer(x))))


def tied() -> nn.Module:
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.ReLU(), nn.Linear(5, 2, bias=False))


def half_frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 2))
    module[0].weight.requires_grad_(False)
    return module


MODULES = {
    "linear": lambda: nn.Linear(5, 2),
    "mlp": lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 2)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(5, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 2))),
    "named": lambda: nn.Sequential(OrderedDict(a=nn.Linear(5, 3), b=nn.ELU(), c=nn.Linear(3, 2))),
    "tied": tied,
    "half frozen": half_frozen,
    "layer norm": lambda: nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3), nn.Linear(3, 2)),
    "layer norm of two dimensions": lambda: nn.Sequential(
        nn.Unflatten(1, (5, 1)), nn.Linear(1, 4), nn.LayerNorm((5, 4)), nn.Flatten(1, 2), nn.Linear(20, 2)
    ),
    "layer norm without weights": lambda: nn.Sequential(nn.LayerNorm(5, elementwise_affine=False), nn.Linear(5, 2)),
    "layer norm without bias": lambda: nn.Sequential(nn.LayerNorm(5, bias=False), nn.Linear(5, 2)),
    "batch norm": lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)),
    "flatten": lambda: nn.Sequential(nn.Unflatten(1, (5, 1)), nn.Linear(1, 4), nn.Flatten(), nn.Linear(20, 2)),
    "wide": lambda: nn.Sequential(
        nn.Linear(5, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 2)
    ).double(),
    "convolutions": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5, 1)),
        *(nn.Conv2d(1, 3, (3, 1), padding=(1, 0)), nn.ReLU(), nn.Conv2d(3, 4, (2, 1), stride=(2, 1), bias=False)),
        *(nn.Tanh(), nn.MaxPool2d((2, 1), 1), nn.Flatten(), nn.Linear(4, 2)),
    ),
    "branches": lambda: nn.Sequential(
        Branches([(2, 2, 1), (1,)], [nn.Sequential(ChannelsFirst(moved=True), nn.Conv2d(1, 2, 2)), nn.Linear(1, 3)]),
        nn.Linear(5, 2),
    ),
    "custom": Custom,
    "double": lambda: nn.Sequential(nn.Linear(5, 2), nn.Tanh()).double(),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("batch", [1, 3])
def test_direct_path_equals_the_definition_and_a_loop(name: str, batch: int) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    vector = ParamVector(module)
    vectors = torch.randn(6, vector.dim, dtype=vector.dtype)
    inputs = torch.randn(6, batch, 5, dtype=vector.dtype)
    outputs = population_forward(module, vector, vectors)(inputs)
    torch.testing.assert_close(outputs, vmap_forward(module, member_weights(vector, vectors))(inputs))
    for member in range(6):
        vector.write(vectors[member])
        torch.testing.assert_close(outputs[member], module(inputs[member]))


@pytest.mark.parametrize("name", ["mlp", "layer norm", "layer norm of two dimensions"])
def test_the_direct_path_is_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(module: nn.Module, weights: dict[int, Tensor]) -> None:
        assert isinstance(module, nn.Unflatten), f"{module} takes the slow path"
        return vmap_forward(module, weights)

    monkeypatch.setattr("torchpolicy.rollout.stages.vmap_forward", refuse)
    vector = ParamVector(module := MODULES[name]())
    population_forward(module, vector, torch.randn(6, vector.dim))(torch.randn(6, 1, 5))


def test_a_member_is_written_alone() -> None:
    module = MODULES["mlp"]()
    vector = ParamVector(module)
    population = Members(module, vector, 2)
    inputs = torch.ones(2, 1, 5)
    assert not population(inputs).any()
    weights = torch.randn(vector.dim)
    population.write(1, population.accept(weights[None]))
    outputs = population(inputs)
    assert not outputs[0].any()
    vector.write(weights)
    torch.testing.assert_close(outputs[1], module(inputs[1]))


def test_hooks_are_honoured() -> None:
    module = nn.Linear(5, 2)
    module.register_forward_hook(lambda module, args, output: output + 100)
    vector = ParamVector(module)
    outputs = population_forward(module, vector, torch.zeros(2, vector.dim))(torch.zeros(2, 1, 5))
    assert outputs.eq(100).all()


@pytest.mark.parametrize("name", ["linear", "mlp", "wide", "convolutions", "custom"])
def test_bits_of_a_row_do_not_depend_on_its_place(name: str) -> None:
    """What lets any slot play any episode."""
    torch.manual_seed(0)
    module = MODULES[name]().eval()
    vector = ParamVector(module)
    vectors, inputs = (torch.randn(shape, dtype=vector.dtype) for shape in ((32, vector.dim), (32, 1, 5)))
    outputs = population_forward(module, vector, vectors)(inputs)
    order = torch.randperm(32)
    shuffled = population_forward(module, vector, vectors[order].contiguous())(inputs[order])
    assert torch.equal(shuffled, outputs[order])


@pytest.mark.parametrize("first", [nn.Identity(), nn.Flatten()])
def test_what_goes_in_is_not_overwritten(first: nn.Module) -> None:
    module = nn.Sequential(first, nn.Tanh(), nn.Linear(3, 2), nn.Tanh(), nn.Tanh())
    vector = ParamVector(module)
    vectors, inputs = torch.randn(4, vector.dim), torch.randn(4, 5, 3)
    before = inputs.clone()
    output = population_forward(module, vector, vectors)(inputs)
    assert torch.equal(inputs, before)
    torch.testing.assert_close(output, vmap_forward(module, member_weights(vector, vectors))(before))
