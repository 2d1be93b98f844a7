"""Time of a population's forward, with one observation per member: ours against its definition and a Python loop.

One thread is used. Ours is also compared with one `torch.baddbmm` per layer, with weights laid out beforehand as (in,
out), which is how a product of full matrices is usually written. The limit is one shared matrix product per layer, as
if all members had the same weights; populations whose noise has rank 1 come near it. For a network that remembers and
one that sees, `products` are the batched products, and the convolution in groups, alone. Figures are medians over
interleaved repeats, in microseconds per call.

    python experiments/benchmarks/population_forward.py
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from gymnasium.spaces import Box, Discrete
from machine import describe
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

import torchpolicy as tp
from torchpolicy.policies.parts.state import first_state, is_recurrent
from torchpolicy.rollout.stages import is_wide, member_weights, vmap_forward

CASES = [
    ((4, 2), 100),
    ((8, 64, 64, 4), 100),
    ((17, 64, 64, 6), 32),
    ((17, 256, 256, 6), 256),
    ((17, 1024, 1024, 6), 256),
]

BOTH = Discrete(6)
NETS = {
    "gru-17-64-6": (tp.RecurrentPolicy(Box(-1, 1, (17,)), BOTH, hidden=64).net, (17,), 256),
    "conv-10x10x4-16-128-6": (tp.ConvPolicy(Box(0, 1, (10, 10, 4)), BOTH).net, (10, 10, 4), 256),
}
"""Networks that remember and that see: module, shape of an input, members."""

LARGE = 500_000
"""Number of weights from which on a network is not run member by member, because that takes too long."""


RATIOS = (
    *(("vmap", "ours"), ("vmap", "low rank"), ("ours", "baddbmm"), ("ours", "products"), ("ours", "low rank")),
    ("low rank", "shared"),
)


def make(sizes: tuple[int, ...]) -> nn.Module:
    """An MLP, or a single layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return layers[0] if len(sizes) == 2 else nn.Sequential(*layers[:-1])


def ways(sizes: tuple[int, ...], population: int) -> dict[str, Callable[[], object]]:
    """Functions that compute the same outputs in several ways, by name."""
    module = make(sizes)
    vector = tp.ParamVector(module)
    vectors = torch.randn(population, vector.dim)
    inputs = torch.randn(population, 1, sizes[0])
    search = tp.NES(
        vector.read(), population=population, std=vector.initial_scale(), slices=vector.slices, noise_rank=1
    )
    low_rank = tp.population_forward(module, vector, search.ask())
    in_common = {"low rank": lambda: low_rank(inputs), "shared": lambda: module(inputs[:, 0])}
    if vector.dim > LARGE:
        ours = tp.population_forward(module, vector, vectors)
        return {"ours": lambda: ours(inputs), **in_common}
    members = []
    for row in vectors:
        vector.write(row)
        members.append(make(sizes))
        members[-1].load_state_dict(module.state_dict())
    ours = tp.population_forward(module, vector, vectors)
    definition = vmap_forward(module, member_weights(vector, vectors))

    stacked = []  # (P, 1, out) and (P, in, out) of each layer
    linear = [[layer for layer in member.modules() if isinstance(layer, nn.Linear)] for member in members]
    for layers in zip(*linear, strict=True):
        biases = torch.stack([layer.bias.detach().unsqueeze(0) for layer in layers])
        stacked.append((biases, torch.stack([layer.weight.detach().T for layer in layers]).contiguous()))

    def baddbmm() -> Tensor:
        hidden = inputs
        for number, (bias, weight) in enumerate(stacked):
            hidden = torch.baddbmm(bias, hidden if number == 0 else hidden.tanh(), weight)
        return hidden

    def loop() -> Tensor:
        return torch.stack([member(row) for member, row in zip(members, inputs, strict=True)])

    torch.testing.assert_close(ours(inputs), definition(inputs), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours(inputs), baddbmm(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours(inputs), loop(), rtol=1e-3, atol=1e-4)
    return {
        "loop": loop,
        "vmap": lambda: definition(inputs),
        "ours": lambda: ours(inputs),
        "baddbmm": baddbmm,
        **in_common,
    }


def ways_of(module: nn.Module, shape: tuple[int, ...], population: int) -> dict[str, Callable[[], object]]:
    """The same for a network that remembers or sees."""
    vector = tp.ParamVector(module)
    scale = vector.initial_scale()
    vectors = vector.read() + scale * torch.randn(population, vector.dim)
    search = tp.NES(vector.read(), population=population, std=scale, slices=vector.slices, noise_rank=1)
    inputs = torch.rand(population, 1, *shape)
    arguments: tuple[Any, ...] = (inputs,)
    if is_recurrent(module):
        arguments = inputs, first_state(module, population, 1)
    functions: dict[str, Callable[..., Any]] = {
        "vmap": vmap_forward(module, member_weights(vector, vectors)),
        "ours": tp.population_forward(module, vector, vectors),
        "low rank": tp.population_forward(module, vector, search.ask()),
    }
    one, two = (tree_flatten(functions[name](*arguments))[0][0] for name in ("ours", "vmap"))
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    calls: dict[str, Callable[[], object]] = {name: partial(f, *arguments) for name, f in functions.items()}
    return calls | {"products": products(module, inputs)}


def products(module: nn.Module, inputs: Tensor) -> Callable[[], object]:
    """The batched products of a network's linear layers, and its convolutions in groups, with all else left out."""
    population, steps = len(inputs), []
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            weight, rows = torch.randn(population, *layer.weight.shape), torch.randn(population, 1, layer.in_features)
            bias = torch.randn(population, layer.out_features)
            if is_wide(layer):
                steps.append(partial(torch.baddbmm, bias.unsqueeze(2), weight, rows.transpose(1, 2)))
            else:
                weight = weight.transpose(1, 2).contiguous()
                steps.append(partial(torch.baddbmm, bias.unsqueeze(1), rows, weight))
        if isinstance(layer, nn.Conv2d):
            kernels = torch.randn(population * layer.out_channels, *layer.weight.shape[1:])
            images = inputs.movedim(-1, -3).reshape(1, -1, *inputs.shape[2:4])
            steps.append(partial(nn.functional.conv2d, images, kernels, groups=population))
    return lambda: [step() for step in steps]


def seconds(call: Callable[[], object], at_least: float = 0.1) -> float:
    """Seconds of one call, averaged over as many calls as fill a tenth of a second."""
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < at_least:
        call()
        count += 1
    return elapsed / count


@torch.inference_mode()
def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "population_forward.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    cases = [("-".join(map(str, sizes)), population, ways(sizes, population)) for sizes, population in CASES]
    cases += [(name, population, ways_of(net, shape, population)) for name, (net, shape, population) in NETS.items()]
    for net, population, calls in cases:
        measured: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(arguments.repeats):
            for name, call in calls.items():
                measured[name].append(seconds(call))
        medians = {name: round(statistics.median(times) * 1e6, 1) for name, times in measured.items()}
        ratios = {
            f"{above} / {below}": round(medians[above] / medians[below], 2)
            for above, below in RATIOS
            if above in medians and below in medians
        }
        rows.append({"net": net, "population": population, **medians, **ratios})
        print(rows[-1], flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "microseconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
