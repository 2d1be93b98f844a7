"""Every search on tiers 1 to 3 of classic problems, with the shipped presets: ten seeds, scored on held-out episodes.

python experiments/ladder.py run --env Acrobot-v1 --algorithms cem pgpe     writes results/ladder/<env>-<algorithm>.json
python experiments/ladder.py table                                          prints the table of all that lies there
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe
from frozen_lake import success_probability

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "ladder"
THRESHOLDS = {
    "CartPole-v1": 475.0,
    "FrozenLake-v1": 0.70,
    "Acrobot-v1": -100.0,
    "MountainCar-v0": -110.0,
    "MountainCarContinuous-v0": 90.0,
    "Pendulum-v1": -200.0,  # none of Gymnasium's
    "LunarLanderContinuous-v3": 200.0,
    "LunarLander-v3": 200.0,
}


def train(env: str, algorithm: str, seed: int) -> dict[str, Any]:
    """One run with its preset. Seconds are of the processor: machines are shared, and two runs go at a time."""
    begin, processor = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(env, algorithm, seed=seed, log_dir=folder)
        config = json.loads((result.run_dir / "config.json").read_text())
    share = (time.process_time() - processor) / (time.monotonic() - begin)
    curve = [
        (row["rollout/env_steps"], row["time/elapsed"], row["eval/mean_reward"])
        for row in result.metrics
        if "eval/mean_reward" in row
    ]
    there = next((point for point in curve if point[2] >= THRESHOLDS[env]), None)
    row = {
        "seed": seed,
        "mean": result.evaluation.mean,
        "ci": result.evaluation.ci,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
        "env_steps_to_threshold": there and there[0],
        "seconds_to_threshold": there and round(share * there[1], 1),
        "curve": [(steps, round(score, 2)) for steps, _, score in curve],
        "preset": config["preset"],
    }
    if env == "FrozenLake-v1":
        row["success_probability"] = success_probability(result.policy)
    return row


def iqm(values: np.ndarray[Any, Any]) -> float:
    """Interquartile mean: the mean of the middle half, entries at its ends counted in part."""
    ordered = np.sort(values)
    edges = np.linspace(0, 1, len(ordered) + 1)
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    return float((ordered * weights).sum() / weights.sum())


def interval(values: np.ndarray[Any, Any], resamples: int = 5000) -> tuple[float, float]:
    """95 % bootstrap interval of the interquartile mean over seeds."""
    rng = np.random.default_rng(0)
    means = [iqm(values[rng.integers(0, len(values), len(values))]) for _ in range(resamples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def summary(content: dict[str, Any]) -> dict[str, Any]:
    """What the table shows of an environment and an algorithm."""
    rows, threshold = content["rows"], THRESHOLDS[content["env"]]
    key = "success_probability" if "success_probability" in rows[0] else "mean"
    values = np.array([row[key] for row in rows])
    steps = [row["env_steps_to_threshold"] or np.inf for row in rows]
    seconds = [row["seconds_to_threshold"] or np.inf for row in rows]
    return {
        "iqm": iqm(values),
        "interval": interval(values),
        "worst": float(values.min()),
        "reached": f"{int((values >= threshold).sum())} of {len(values)}",
        "steps_to_threshold": float(np.median(steps)),
        "seconds_to_threshold": float(np.median(seconds)),
        "env_steps": float(np.median([row["env_steps"] for row in rows])),
        "seconds": float(np.median([row["seconds"] for row in rows])),
    }


def run(env: str, algorithm: str, seeds: int, jobs: int) -> None:
    """All seeds, some at a time, into one file."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        rows = list(pool.map(partial(train, env, algorithm), range(seeds)))
    content = {**describe(), "runs_at_a_time": jobs, "env": env, "algorithm": algorithm, "rows": rows}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{env}-{algorithm}.json").write_text(json.dumps(content) + "\n")
    print(env, algorithm, summary(content), flush=True)


def table() -> None:
    """Markdown, an environment at a time, the best first."""
    for env, threshold in THRESHOLDS.items():
        found = [json.loads(path.read_text()) for path in RESULTS.glob(f"{env}-*.json")]
        if not found:
            continue
        rows = sorted(((summary(content), content) for content in found), key=lambda pair: -pair[0]["iqm"])
        digits = 3 if env == "FrozenLake-v1" else 1
        print(f"\n**{env}** (threshold {threshold:g})\n")
        print(
            "| search | IQM | 95 % interval | worst seed | seeds at threshold | env steps to it | CPU seconds to it | env steps in all |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for line, content in rows:
            low, high = line["interval"]
            scores = f"{line['iqm']:.{digits}f} | {low:.{digits}f} to {high:.{digits}f} | {line['worst']:.{digits}f}"
            speed = f"{line['steps_to_threshold'] / 1e3:,.0f}k | {line['seconds_to_threshold']:.1f}"
            reached, budget = line["reached"], f"{line['env_steps'] / 1e3:,.0f}k"
            print(
                f"| {content['algorithm']} | {scores} | {reached} | {speed} | {budget} |".replace("infk | inf", "- | -")
            )


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--env", choices=THRESHOLDS, required=True)
    running.add_argument("--algorithms", nargs="+", required=True)
    running.add_argument("--seeds", type=int, default=10)
    running.add_argument("--jobs", type=int, default=2, help="runs at a time")
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    for algorithm in arguments.algorithms:
        run(arguments.env, algorithm, arguments.seeds, arguments.jobs)


if __name__ == "__main__":
    main()
