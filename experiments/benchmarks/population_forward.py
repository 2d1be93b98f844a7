"""Time of a population's forward, with one observation per member: ours against its definition and a Python loop.

One thread is used. Ours is also compared with one `torch.baddbmm` per layer, with weights laid out beforehand, which is
the time that any product of full matrices takes. The limit is one shared matrix product per layer, as if all members
had the same weights; populations whose noise has rank 1 come near it. Figures are medians over interleaved repeats, in
microseconds per call.

    python experiments/benchmarks/population_forward.py
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from machine import describe
from torch import Tensor, nn

import torchpolicy as tp
from torchpolicy.rollout.stages import member_weights, vmap_forward

CASES = [
    ((4, 2), 100),
    ((8, 64, 64, 4), 100),
    ((17, 64, 64, 6), 32),
    ((17, 256, 256, 6), 256),
    ((17, 1024, 1024, 6), 256),
]

LARGE = 500_000
"""Number of weights from which on a network is not run member by member, because that takes too long."""


RATIOS = (("vmap", "ours"), ("ours", "baddbmm"), ("ours", "low rank"), ("low rank", "shared"))


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
    for sizes, population in CASES:
        calls = ways(sizes, population)
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
        rows.append({"net": "-".join(map(str, sizes)), "population": population, **medians, **ratios})
        print(rows[-1], flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "microseconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
