"""Environments that cost something, on two cores: ours with two processes against evotorch in its best configuration.

CEM on an MLP of 64-64, a few generations, of which the first, in which the environments are made, is left out on both
sides: env steps over time. HalfCheetah-v5 twice, without normalised observations and with them. evotorch plays with
`GymNE`, in one process and with two Ray actors, and with `VecGymNE`, with 32 and 64 environments (which has no actors
with the Ray of today: it fails in its signature); its best is the one with the highest median. Bare stepping of two
processes, as in processes.py, is what the hardware gives. All take turns in one run; medians of the ratios.

python experiments/benchmarks/peers.py       makes evotorch's environment, once
python experiments/benchmarks/simulators.py
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe
from peers import run_peer, versions
from processes import bare, ours

CASES = (("HalfCheetah-v5", 64, False), ("HalfCheetah-v5", 64, True), ("LunarLander-v3", 400, False))
"""Environment, population, and whether observations are normalised."""

WAYS = {  # kind, environments, actors
    "GymNE": ("gym", 0, 0),
    "GymNE, 2 actors": ("gym", 0, 2),
    "VecGymNE, 32 envs": ("vec", 32, 0),
    "VecGymNE, 64 envs": ("vec", 64, 0),
}
GOAL = 3.0

BARE_STEPS = 60_000
"""In each process."""


def compare(env: str, population: int, normalize: bool, repeats: int, generations: int) -> dict[str, Any]:
    """Ours and theirs in turns."""
    rates: dict[str, list[float]] = {way: [] for way in ("bare", "ours", *WAYS)}
    for seed in range(repeats):
        rates["bare"].append(bare(env, BARE_STEPS, 2))
        rates["ours"].append(ours(env, population, generations, 2, seed, normalize_observations=normalize))
        for way, settings in WAYS.items():
            arguments = env, *settings, int(normalize), population, generations, seed
            rates[way].append(run_peer("evotorch", "simulator_evotorch", *arguments)["rate"])
        print(env, {way: round(measured[-1]) for way, measured in rates.items()}, flush=True)
    best = max(WAYS, key=lambda way: median(rates[way]))
    ratio, limit = (
        median(one / other for one, other in zip(rates[way], rates[best], strict=True)) for way in ("ours", "bare")
    )
    return {
        "env": env,
        "population": population,
        "normalized": normalize,
        **{way: round(median(measured)) for way, measured in rates.items()},
        "evotorch's best": best,
        "ours / best": round(ratio, 2),
        "bare / best": round(limit, 2),
        "reached": ratio >= GOAL,
        "rates": {way: [round(rate) for rate in measured] for way, measured in rates.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "simulators.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for case in CASES:
        rows.append(compare(*case, arguments.repeats, arguments.generations))
        print(rows[-1], flush=True)
    head = {**describe(), "peers": versions(), "goal": GOAL}
    arguments.out.write_text(json.dumps({**head, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
