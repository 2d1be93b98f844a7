"""Step rates of two processes against one and against bare stepping, on environments whose steps take longer.

In bare stepping, each process has as many environments as the engine has slots. It steps them in turn with random
actions drawn beforehand, with the same wrappers and seeded resets, and all processes run at once. Ours is CEM with an
MLP of 64-64: env steps divided by the time of all generations except the first, in which the environments are made. All
alternate in one run, and the figures are medians of the ratios.

    python experiments/benchmarks/processes.py
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe

import torchpolicy as tp
from torchpolicy.envs.gym import gym_environment
from torchpolicy.rollout.slots import SLOTS

CASES = {"HalfCheetah-v5": (64, 4, 60_000), "LunarLander-v3": (400, 4, 60_000)}
"""Population, number of generations, and number of bare steps in each process, by environment."""


def step(env: str, steps: int, seed: int, start: Any, answer: Connection) -> None:
    """One process of bare stepping: its steps per second."""
    torch.set_num_threads(1)
    environment = gym_environment(env, backend="gymnasium")
    slots = environment.make_slots(SLOTS, np.dtype(np.float32))
    rng = np.random.default_rng(seed)
    environment.action_space.seed(seed)
    actions = [environment.action_space.sample() for _ in range(4096)]
    for slot in range(SLOTS):
        slots.reset(slot, int(rng.integers(2**31)))
    envs = slots._envs  # type: ignore[attr-defined]
    start.wait()
    begin, count = time.perf_counter(), 0
    while count < steps:
        for one in envs:
            _, _, terminated, truncated, _ = one.step(actions[count % 4096])
            count += 1
            if terminated or truncated:
                one.reset(seed=int(rng.integers(2**31)))
    answer.send(count / (time.perf_counter() - begin))


def bare(env: str, steps: int, count: int) -> float:
    """Steps per second of all processes."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(count)
    receive, send = context.Pipe(duplex=False)
    processes = [context.Process(target=step, args=(env, steps, seed, start, send)) for seed in range(count)]
    for process in processes:
        process.start()
    rates = [float(receive.recv()) for _ in processes]
    for process in processes:
        process.join()
    return sum(rates)


def ours(
    env: str,
    population: int,
    generations: int,
    workers: int,
    seed: int,
    *,
    units: int = 64,
    algorithm: str = "cem",
    **settings: Any,
) -> float:
    """Steps per second of a training run with an MLP of two hidden layers, its first generation left out."""
    with tempfile.TemporaryDirectory() as folder:
        rows = tp.train(
            env,
            algorithm,
            population=population,
            generations=generations,
            policy_args={"hidden": (units, units)},
            workers=workers,
            seed=seed,
            eval_every=1000,
            eval_episodes=1,
            log_dir=folder,
            **settings,
        ).metrics
    first, last = rows[0], rows[-1]
    steps = last["rollout/env_steps"] - first["rollout/env_steps"]
    return steps / (last["time/elapsed"] - first["time/elapsed"])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "processes.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for env, (population, generations, steps) in CASES.items():
        rows = []
        for seed in range(arguments.repeats):
            rates = {
                "bare 1": bare(env, steps, 1),
                "ours 1": ours(env, population, generations, 1, seed),
                "bare 2": bare(env, steps, 2),
                "ours 2": ours(env, population, generations, 2, seed),
            }
            rows.append({name: round(rate) for name, rate in rates.items()})
            print(env, rows[-1], flush=True)
        ratios = {
            "ours 1 / bare 1": statistics.median(row["ours 1"] / row["bare 1"] for row in rows),
            "ours 2 / bare 2": statistics.median(row["ours 2"] / row["bare 2"] for row in rows),
            "ours 2 / ours 1": statistics.median(row["ours 2"] / row["ours 1"] for row in rows),
            "bare 2 / bare 1": statistics.median(row["bare 2"] / row["bare 1"] for row in rows),
        }
        ratios = {name: round(ratio, 3) for name, ratio in ratios.items()}
        print(env, ratios, flush=True)
        results.append({"env": env, "population": population, "net": "64-64", **ratios, "rows": rows})
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
