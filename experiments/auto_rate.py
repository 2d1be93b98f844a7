"""Learning rates that follow the signal-to-noise ratio, beside the default ones: functions, and a policy.

The functions are a sphere, a sphere with Gaussian noise of std 1 on every value, and Rastrigin's, in 10 dimensions: the
median over 8 seeds of the center's value after 20,000 evaluations. The policy is an MLP of 64-64 in LunarLander with
continuous actions: the mean test score of 4 seeds after 150,000 steps. Nothing else is tuned.

python experiments/auto_rate.py        writes results/auto_rate.json, and prints a table
"""

import json
import tempfile
from math import pi
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from benchmarks.machine import describe
from torch import Tensor

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "auto_rate.json"
SEARCHES: dict[str, Any] = {"snes": tp.SNES, "xnes": tp.XNES, "nes": tp.NES, "pgpe": tp.PGPE}
EVALUATIONS, SEEDS = 20_000, range(100, 108)
ENV, STEPS = "LunarLanderContinuous-v3", 150_000


def sphere(x: Tensor) -> Tensor:
    """Values (N,) of vectors (N, D)."""
    return x.square().sum(1)


def rastrigin(x: Tensor) -> Tensor:
    """Values (N,) of vectors (N, D)."""
    return 10 * x.shape[1] + (x.square() - 10 * (2 * pi * x).cos()).sum(1)


FUNCTIONS: dict[str, Any] = {"sphere": (sphere, 0.0), "noisy sphere": (sphere, 1.0), "Rastrigin": (rastrigin, 0.0)}
"""Functions, with the std of the noise on their values."""


def minimise(kind: Any, function: Any, noise: float, seed: int, rate: dict[str, Any]) -> float:
    """The value of the center, without noise, at the end of a search."""
    generator = torch.Generator().manual_seed(seed)
    search = kind(torch.full((10,), 3.0, dtype=torch.float64), std=2.0, seed=seed, maximize=False, **rate)
    for _ in range(EVALUATIONS // search.population):
        candidates = search.ask()
        luck = torch.randn(len(candidates), generator=generator, dtype=torch.float64)
        search.tell(candidates, function(candidates) + noise * luck)
    return float(function(search.center[None]))


def train(name: str, seed: int, rate: dict[str, Any]) -> float:
    """The test score of a policy."""
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"preset": False, "target": None, "normalize_observations": True, "log_dir": folder}
        settings |= {"policy_args": {"hidden": [64, 64]}, "total_steps": STEPS, "eval_episodes": 50}
        return tp.train(ENV, name, seed=seed, **settings, **rate).evaluation.mean


def main() -> None:
    """Measure everything, and print it as a Markdown table."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, kind in SEARCHES.items():
        for rate in ({}, {"learning_rate": "auto"}):
            row: dict[str, Any] = {"search": name, "learning_rate": rate.get("learning_rate", "default")}
            for function, (values, noise) in FUNCTIONS.items():
                row[function] = median(minimise(kind, values, noise, seed, rate) for seed in SEEDS)
            if name != "xnes":  # whose matrices are too large for this policy
                row[ENV] = mean(train(name, seed, rate) for seed in SEEDS[:4])
            rows.append(row)
            print(row, flush=True)
    RESULTS.write_text(json.dumps({**describe(), "rows": rows}, indent=1) + "\n")
    heads = ["search", "learning_rate", *FUNCTIONS, ENV]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        cells = [row.get(head, "") for head in heads]
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in cells)} |")


if __name__ == "__main__":
    main()
