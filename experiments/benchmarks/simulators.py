"""Step rates of two processes of ours against evotorch in its best configuration, on HalfCheetah and LunarLander.

Both sides run CEM with an MLP of two hidden layers on two cores, for a few generations. The rate is env steps divided
by time, without the first generation, in which the environments are made. HalfCheetah-v5 is run with 64 units, with and
without normalised observations, and with 256 units; there ours is NES with noise of rank 1, while theirs stays dense.
evotorch plays with `GymNE`, in one process and with two Ray actors, and with `VecGymNE`, with 32 and 64 environments
(with today's Ray it fails with actors, because of a changed signature). Its best is the one with the highest median.
Bare stepping of two processes, as in processes.py, shows what Gymnasium can give, and EnvPool with 64 HalfCheetahs and
two threads, under random actions and without a policy, what a simulator in C++ gives. All take turns in one run, and
the figures are medians of the ratios.

python experiments/benchmarks/peers.py       makes evotorch's environment, once
python experiments/benchmarks/simulators.py
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from machine import describe
from peers import run_peer, versions
from processes import bare, ours


class Case(NamedTuple):
    """A comparison."""

    env: str
    population: int
    normalize: bool
    units: int
    goal: float


CASES = (
    Case("HalfCheetah-v5", 64, normalize=False, units=64, goal=3.5),
    Case("HalfCheetah-v5", 64, normalize=True, units=64, goal=3.5),
    Case("HalfCheetah-v5", 64, normalize=False, units=256, goal=3.0),
    Case("LunarLander-v3", 400, normalize=False, units=64, goal=3.0),
)

WIDE = 256
"""Number of units from which on our noise has rank 1."""

WAYS = {  # kind, environments, actors
    "GymNE": ("gym", 0, 0),
    "GymNE, 2 actors": ("gym", 0, 2),
    "VecGymNE, 32 envs": ("vec", 32, 0),
    "VecGymNE, 64 envs": ("vec", 64, 0),
}
ENVPOOL = "EnvPool, no policy"

BARE_STEPS = 60_000
"""Number of bare steps in each process."""


def compare(case: Case, repeats: int, generations: int) -> dict[str, Any]:
    """Measure ours and theirs in turns; returns a row of medians."""
    env, population, normalize, units, goal = case
    settings: dict[str, Any] = {"units": units, "normalize_observations": normalize}
    if units >= WIDE:
        settings |= {"algorithm": "nes", "noise_rank": 1, "preset": False}
    rates: dict[str, list[float]] = {way: [] for way in ("bare", "ours", *WAYS)}
    for seed in range(repeats):
        rates["bare"].append(bare(env, BARE_STEPS, 2))
        rates["ours"].append(ours(env, population, generations, 2, seed, **settings))
        if env == "HalfCheetah-v5":
            answer = run_peer("envpool", "simulator_envpool", env, 64, 2, 2 * BARE_STEPS)
            rates.setdefault(ENVPOOL, []).append(answer["rate"])
        for way, theirs in WAYS.items():
            arguments = env, *theirs, int(normalize), units, population, generations, seed
            rates[way].append(run_peer("evotorch", "simulator_evotorch", *arguments)["rate"])
        print(env, {way: round(measured[-1]) for way, measured in rates.items()}, flush=True)
    best = max(WAYS, key=lambda way: median(rates[way]))
    ratio, limit = (
        median(one / other for one, other in zip(rates[way], rates[best], strict=True)) for way in ("ours", "bare")
    )
    return {
        "env": env,
        "commit": describe()["commit"],
        "population": population,
        "normalized": normalize,
        "units": units,
        **{way: round(median(measured)) for way, measured in rates.items()},
        "evotorch's best": best,
        "ours / best": round(ratio, 2),
        "bare / best": round(limit, 2),
        "goal": goal,
        "reached": ratio >= goal,
        "rates": {way: [round(rate) for rate in measured] for way, measured in rates.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--cases", type=int, nargs=2, default=(0, len(CASES)), help="the first case, and the one after the last"
    )
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "simulators.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    begin, end = arguments.cases
    for case in CASES[begin:end]:
        row = compare(case, arguments.repeats, arguments.generations)
        print(row, flush=True)
        rows = [old for old in rows if any(old[key] != row[key] for key in ("env", "units", "normalized"))] + [row]
        head = {**describe(), "peers": versions()}
        arguments.out.write_text(json.dumps({**head, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
