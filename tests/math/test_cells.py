"""Recurrent cells against torch's, for one member and for a population, with dense noise and noise of low rank."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector
from torch.utils._pytree import tree_flatten

from torchpolicy import NES, GRUCell, LSTMCell, ParamVector, RecurrentPolicy, RNNCell, population_forward
from torchpolicy.policies.parts.cells import CELLS, Cell, Recurrent
from torchpolicy.rollout.stages import member_weights, vmap_forward

TORCHS: dict[str, type[nn.Module]] = {"gru": nn.GRUCell, "lstm": nn.LSTMCell, "rnn": nn.RNNCell}


def recurrent(kind: str, layers: int = 2) -> Recurrent:
    widths = [4, *[5] * layers]
    cells = [CELLS[kind](one, two) for one, two in pairwise(widths)]
    return Recurrent(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), cells, nn.Sequential(nn.Linear(5, 2)))


class Own(nn.Module):
    """A module of the user's own around one of our cells: known only to vmap."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.last = GRUCell(3, 5), nn.Linear(5, 2)

    def initial_state(self) -> dict[str, Tensor]:
        return {"h": torch.ones(5), "steps": torch.zeros(())}

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        output, h = self.cell(x, state["h"])
        return self.last(output) + state["steps"].unsqueeze(-1), {"h": h, "steps": state["steps"] + 1}


MODULES = {**{kind: lambda kind=kind: recurrent(kind) for kind in CELLS}, "own": Own, "cell": lambda: LSTMCell(3, 2)}


def unrolled(forward: Any, inputs: Tensor, state: Any) -> Tensor:
    """The outputs (T, …) of T steps."""
    outputs = []
    for each in inputs:
        output, state = forward(each, state)
        outputs.append(output)
    return torch.stack(outputs)


def first(module: Any, *batch: int) -> Any:
    leaves, structure = tree_flatten(module.initial_state())
    return torch.utils._pytree.tree_unflatten([leaf.expand(*batch, *leaf.shape) for leaf in leaves], structure)


@pytest.mark.parametrize("kind", CELLS)
def test_a_cell_computes_what_torchs_does(kind: str) -> None:
    ours, theirs = CELLS[kind](3, 5), TORCHS[kind](3, 5)
    with torch.no_grad():
        for one, two in [("weight_ih", "from_input.weight"), ("bias_ih", "from_input.bias")]:
            getattr(theirs, one).copy_(ours.get_parameter(two))
            getattr(theirs, one.replace("ih", "hh")).copy_(ours.get_parameter(two.replace("input", "output")))
    x, state = torch.randn(7, 4, 3), first(ours, 4)
    expected, theirs_state = [], state
    for each in x:
        theirs_state = theirs(each, theirs_state)
        expected.append(theirs_state[0] if kind == "lstm" else theirs_state)
    torch.testing.assert_close(unrolled(ours, x, state), torch.stack(expected))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("batch", [1, 3])
def test_the_direct_path_equals_the_definition_and_a_loop(name: str, batch: int) -> None:
    torch.manual_seed(0)
    module: Any = MODULES[name]()
    vector = ParamVector(module)
    vectors = torch.randn(4, vector.dim)
    inputs = torch.randn(6, 4, batch, 3)
    found = unrolled(population_forward(module, vector, vectors), inputs, first(module, 4, batch))
    definition = vmap_forward(module, member_weights(vector, vectors))
    torch.testing.assert_close(found, unrolled(definition, inputs, first(module, 4, batch)))
    for member in range(4):
        vector.write(vectors[member])
        with torch.no_grad():
            torch.testing.assert_close(found[:, member], unrolled(module, inputs[:, member], first(module, batch)))


@pytest.mark.parametrize("kind", CELLS)
def test_noise_of_low_rank_in_recurrent_matrices(kind: str) -> None:
    module = recurrent(kind)
    vector = ParamVector(module)
    search = NES(vector.read(), population=6, noise_rank=1, slices=vector.slices)
    candidates = search.ask()
    inputs, state = torch.randn(5, 6, 1, 3), first(module, 6, 1)
    dense = unrolled(population_forward(module, vector, candidates.dense()), inputs, state)
    torch.testing.assert_close(unrolled(population_forward(module, vector, candidates), inputs, state), dense)
    members = population_forward(module, vector, candidates)
    assert {name for name in members._shared if "cells" in name} == {
        f"cells.{cell}.{part}.weight" for cell in range(2) for part in ("from_input", "from_output")
    }


def test_a_cell_can_be_made_by_itself_and_needs_no_global_generator() -> None:
    before = torch.get_rng_state()
    assert all(isinstance(cell(2, 3), Cell) for cell in (GRUCell, LSTMCell, RNNCell))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(
        parameters_to_vector(GRUCell(2, 3).parameters()),
        parameters_to_vector(GRUCell(2, 3, torch.Generator().manual_seed(1)).parameters()),
    )


@pytest.mark.parametrize(("kind", "gate"), [("gru", 1), ("lstm", 1), ("lstm", 0)])
def test_cells_with_a_horizon_begin_by_keeping_what_they_hold(kind: str, gate: int) -> None:
    plain, cell = CELLS[kind](3, 500), CELLS[kind](3, 500, None, 50)
    place = slice(500 * gate, 500 * (gate + 1))
    times = cell.from_input.bias[place].exp() if gate else (-cell.from_input.bias[place]).exp()
    assert times.min() >= 1
    assert times.max() <= 49
    assert times.mean().item() == pytest.approx(25, abs=2)
    assert not cell.from_output.bias[place].any()
    for name in ("from_input", "from_output"):
        assert torch.equal(getattr(plain, name).weight, getattr(cell, name).weight)
        others = slice(500 * 2, None)
        assert torch.equal(getattr(plain, name).bias[others], getattr(cell, name).bias[others])


def test_a_unit_with_a_bias_of_log_t_keeps_what_it_holds_for_about_t_steps() -> None:
    cell, held = GRUCell(1, 1), torch.ones(1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.remember(torch.tensor([20.0]).log())
        for _ in range(20):
            held = cell(torch.zeros(1), held)[1]
    assert held.item() == pytest.approx((20 / 21) ** 20, rel=1e-5)


@pytest.mark.parametrize(
    ("cell", "horizon", "message"),
    [("rnn", 9, "an rnn cell has no gates that could keep something"), ("gru", 1, "horizon must be an integer >= 2")],
)
def test_a_horizon_that_cannot_be_is_refused(cell: str, horizon: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrentPolicy(Box(-1, 1, (2,)), Discrete(2), cell=cell, horizon=horizon)
