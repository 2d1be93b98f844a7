"""Step rate of CEM on CartPole-v1 through Gymnasium, in one process, as a share of the rate of bare stepping.

Bare stepping means as many environments as the engine has slots, stepped in turn with random actions drawn
beforehand, with the same wrappers and seeded resets. Ours is all env steps of generations 1 to 30 divided by the
run's time up to there, including the writing of metrics but not held-out evaluations. Both alternate in one
run, and the figure is the median of the ratios.

    python experiments/benchmarks/gymnasium_stepping.py
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from machine import describe

import torchpolicy as tp
from torchpolicy.rollout.slots import SLOTS

ENV = "CartPole-v1"
BARE_STEPS = 400_000


def bare() -> float:
    """Steps per second of bare stepping."""
    envs = [gymnasium.make(ENV, disable_env_checker=True) for _ in range(SLOTS)]
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 2, BARE_STEPS).tolist()
    seeds = iter(rng.integers(0, 2**31, BARE_STEPS).tolist())
    for env in envs:
        env.reset(seed=next(seeds))
    step = 0
    begin = time.perf_counter()
    while step < BARE_STEPS:
        for env in envs:
            _, _, terminated, truncated, _ = env.step(actions[step])
            step += 1
            if terminated or truncated:
                env.reset(seed=next(seeds))
    return step / (time.perf_counter() - begin)


def ours(seed: int, folder: str) -> float:
    """Steps per second of a training run."""
    last = tp.train(
        ENV,
        "cem",
        population=100,
        generations=30,
        backend="gymnasium",
        seed=seed,
        eval_every=1000,
        eval_episodes=1,
        log_dir=folder,
    ).metrics[-1]
    return last["rollout/env_steps"] / last["time/elapsed"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gymnasium_stepping.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ours(0, folder)  # warm up
        for seed in range(arguments.repeats):
            limit, reached = bare(), ours(seed, folder)
            rows.append(
                {"seed": seed, "bare": round(limit), "ours": round(reached), "ratio": round(reached / limit, 3)}
            )
            print(rows[-1], flush=True)
    ratio = statistics.median(row["ratio"] for row in rows)
    print(f"median ratio {ratio:.3f}")
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "median_ratio": ratio, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
