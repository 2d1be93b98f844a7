"""Speed on a GPU: CartPole-v1 stepped on it, and the forward of a population whose noise has rank 1.

The first benchmark plays CartPole-v1 with a linear policy, one episode per candidate. It divides env steps by the time
of whole plays, from weights on the GPU to returns on the CPU, compiled (float32) and eager (float64). Candidates lie
close around weights that balance the pole, so that episodes are long; or around zero, so that episodes are short and
slots are refilled all the time.

The second benchmark times the forward, with one observation per member, against one shared matrix product per layer,
and against full matrices where they fit. All figures are medians. A warm-up, which compiles, is timed separately.

python experiments/benchmarks/gpu.py
python experiments/benchmarks/gpu.py --device cpu --populations 256 --members 64     to see that it works
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe
from population_forward import make
from torch import Tensor

import torchpolicy as tp
from torchpolicy.base.device import deterministic, find_device
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import choose_slots, make_rollout
from torchpolicy.vectors.low_rank import LowRankPopulation

NETS = ((17, 256, 256, 6), (17, 1024, 1024, 6), (17, 4096, 4096, 6))
STEPS, SHARE = 5e9, 0.6
"""The goals: env steps per second with a million candidates, and share of the shared product's rate from 1024 units on.
"""

FULL = 2**34
"""Bytes that full matrices may take."""

BALANCING = torch.tensor([[-0.1, -0.3, -1.0, -1.0], [0.1, 0.3, 1.0, 1.0]])
"""Weights of the two actions, with which the pole is balanced."""


def wait(device: torch.device) -> None:
    """Wait until the device has computed everything."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def cartpole(population: int, *, compiled: bool, long: bool, device: torch.device, repeats: int) -> dict[str, Any]:
    """Env steps per second."""
    environment = make_environment("CartPole-v1", backend="native")
    policy = tp.LinearPolicy(*environment.spaces).to(device)
    slots = choose_slots(environment, policy, population, compile=compiled)
    generator = torch.Generator().manual_seed(0)
    center = torch.cat([BALANCING.flatten(), torch.zeros(2)]) if long else torch.zeros(10)
    noise = torch.randn(population, 10, generator=generator)
    candidates = (center + noise * (0.01 if long else 1.0)).to(device)
    with make_rollout(environment, policy, slots=slots, compile=compiled) as rollout:
        begin = time.perf_counter()
        steps = rollout.play(candidates, [0]).env_steps
        warm = time.perf_counter() - begin
        rates = []
        for seed in range(1, repeats + 1):
            wait(device)
            begin = time.perf_counter()
            steps = rollout.play(candidates, [seed]).env_steps
            rates.append(steps / (time.perf_counter() - begin))
    return {
        "population": population,
        "way": "compiled" if compiled else "eager",
        "episode": round(steps / population),
        "slots": slots,
        "env steps/s": round(median(rates)),
        "warm-up": round(warm, 1),
    }


@torch.no_grad()
def forward(sizes: tuple[int, ...], members: int, device: torch.device, repeats: int) -> dict[str, Any]:
    """Microseconds of the forward, computed in each way."""
    module = make(sizes).to(device)
    vector = tp.ParamVector(module)
    search = tp.NES(vector.read(), population=members, std=vector.initial_scale(), slices=vector.slices, noise_rank=1)
    population = search.ask()
    assert isinstance(population, LowRankPopulation)
    inputs = torch.randn(members, 1, sizes[0], device=device)
    low_rank = tp.population_forward(module, vector, population)
    ways: dict[str, Callable[[], Tensor]] = {
        "low rank": lambda: low_rank(inputs),
        "shared": lambda: module(inputs[:, 0]),
    }
    if members * vector.dim * 4 < FULL:
        dense = tp.population_forward(module, vector, population.dense())
        ways["dense"] = lambda: dense(inputs)
        torch.testing.assert_close(dense(inputs), low_rank(inputs), rtol=1e-3, atol=1e-3)
    found = {name: round(1e6 * seconds(call, device, repeats), 1) for name, call in ways.items()}
    return {
        "net": "-".join(map(str, sizes)),
        "members": members,
        **found,
        "shared / low rank": round(found["shared"] / found["low rank"], 2),
    }


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Seconds of one call."""
    taken = []
    for _ in range(repeats + 2):
        wait(device)
        begin = time.perf_counter()
        for _ in range(20):
            call()
        wait(device)
        taken.append((time.perf_counter() - begin) / 20)
    return median(taken[2:])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--populations", type=int, nargs="+", default=[16384, 131072, 1_000_000])
    parser.add_argument("--members", type=int, nargs="+", default=[256, 4096])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.json")
    arguments = parser.parse_args()
    try:
        device = find_device(arguments.device)
    except ValueError as error:
        sys.exit(f"{error}: nothing measured")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    torch.set_num_threads(1)
    plays, forwards = [], []
    with deterministic(device):
        for population in arguments.populations:
            for compiled in (True, False):
                for long in (True, False):
                    settings = {"compiled": compiled, "long": long, "device": device, "repeats": arguments.repeats}
                    plays.append(cartpole(population, **settings))
                    print(plays[-1], flush=True)
        for sizes in NETS:
            for members in arguments.members:
                forwards.append(forward(sizes, members, device, arguments.repeats))
                print(forwards[-1], flush=True)
    best = max(row["env steps/s"] for row in plays if row["population"] == max(arguments.populations))
    wide = min(row["shared / low rank"] for row in forwards if row["net"] != "17-256-256-6")
    goals = [
        {"goal": "env steps/s, most candidates", "at least": STEPS, "measured": best, "reached": best >= STEPS},
        {"goal": "shared / low rank, from 1024 units", "at least": SHARE, "measured": wide, "reached": wide >= SHARE},
    ]
    content = {**describe(), "device": name, "goals": goals, "plays": plays, "forwards": forwards}
    arguments.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
