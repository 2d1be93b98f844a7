"""The bits of an output do not depend on the slot, whatever the sizes of the layers."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from quick import weights, without_time
from torch import Tensor, nn

import torchpolicy as tp
from torchpolicy.base.products import note_on_rounding

SIZES = [
    (50, 54),
    (17, 51),
    (348, 17),
    (128, 6),
    (90, 91),
    (512, 7),
    (101, 99),
    (1023, 129),
    (64, 192),
    (33, 99),
    (7, 5),
]


class Own(nn.Module):
    """Known to vmap only."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).tanh()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [nn.Linear, Own])
def test_one_member_is_the_same_in_every_slot(kind: Any, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for sizes in SIZES:
        module = kind(*sizes).to(dtype)
        vector = tp.ParamVector(module)
        for _ in range(4):
            member, inputs = torch.randn(1, vector.dim, dtype=dtype), torch.randn(1, 1, sizes[0], dtype=dtype)
            outputs = tp.population_forward(module, vector, member.repeat(64, 1))(inputs.repeat(64, 1, 1))
            assert (outputs == outputs[:1]).all(), sizes


@pytest.mark.parametrize(
    "policy",
    [
        tp.RecurrentPolicy(Box(-1, 1, (5,)), Discrete(5), hidden=30),
        tp.ConvPolicy(Box(0, 1, (7, 7, 3)), Discrete(6)),
        tp.MLPPolicy(Box(-1, 1, (5,)), Box(-1, 1, (17,)), hidden=(50,)),
    ],
    ids=["gru", "conv", "mlp"],
)
@pytest.mark.parametrize("rank", [None, 1])
def test_a_shuffled_population_is_the_same_shuffled(policy: Any, rank: int | None) -> None:
    vector = tp.ParamVector(policy.net)
    search = tp.NES(vector.read(), population=64, std=vector.initial_scale(), noise_rank=rank, slices=vector.slices)
    candidates: Any = search.ask()
    inputs, order = torch.rand(64, 1, *policy.encoder.input_shape), torch.randperm(64)
    state = policy.initial_state(64, 1)
    arguments = [inputs] if state is None else [inputs, state]

    def outputs(candidates: Any, arguments: list[Any]) -> Tensor:
        answer = tp.population_forward(policy.net, vector, candidates)(*arguments)
        return answer if state is None else answer[0]

    shuffled = outputs(candidates[order], [inputs[order], *arguments[1:]])
    assert torch.equal(shuffled, outputs(candidates, arguments)[order])


@pytest.mark.parametrize("hidden", [[17], [50, 50]])
def test_widths_of_any_kind_are_exact_over_processes(hidden: list[int]) -> None:
    settings: dict[str, Any] = {
        "policy_args": {"hidden": hidden},
        "generations": 2,
        "population": 10,
        "eval_episodes": 4,
    }
    results = [tp.train("Pendulum-v1", "cem", preset=False, backend="gymnasium", workers=n, **settings) for n in (1, 3)]
    np.testing.assert_array_equal(weights(results[0]), weights(results[1]))
    assert without_time(results[0].metrics) == without_time(results[1].metrics)


LATE = """
import torch
torch.randn(50, 50) @ torch.randn(50, 50)
import torchpolicy as tp
from torchpolicy.base import products
if {everywhere}:
    products._bits_depend_on_place = lambda: True
tp.train("CartPole-v1", "cem", generations=1, eval_episodes=2)
print(products.note_on_rounding() is not None)
"""


@pytest.mark.parametrize("everywhere", [True, False])  # some processors round alike in every place
def test_a_late_import_is_said(everywhere: bool) -> None:
    assert note_on_rounding() is None
    plain = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    command = [sys.executable, "-c", LATE.format(everywhere=everywhere)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    assert ("last bits may depend on" in done.stderr) == ("True" in done.stdout.split())
    assert not everywhere or "last bits may depend on" in done.stderr
    if everywhere and torch.backends.mkl.is_available():
        assert "Import torchpolicy before matrices are multiplied, or set MKL_CBWR=AUTO,STRICT" in done.stderr
