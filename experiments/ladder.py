"""Every algorithm on classic problems, with the shipped presets: ten seeds, scored on held-out episodes.

python experiments/ladder.py run --env Acrobot-v1 --algorithms cem pgpe
                                         trains, and writes results/ladder/<env>-<algorithm>.json
python experiments/ladder.py table       prints the tables of all that lies there
python experiments/ladder.py picture     draws their curves, results/ladder.png
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
from torchpolicy.output.summary import iqm, iqm_interval

RESULTS = Path(__file__).parent / "results" / "ladder"
ALGORITHMS = ("cem", "nes", "snes", "xnes", "pgpe", "ars", "deepcem", "reinforce")
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
    """One run with its preset. Seconds are processor time, because two runs share a machine."""
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


def summary(content: dict[str, Any]) -> dict[str, Any]:
    """The table's row for an environment and an algorithm."""
    rows, threshold = content["rows"], THRESHOLDS[content["env"]]
    key = "success_probability" if "success_probability" in rows[0] else "mean"
    values = np.array([row[key] for row in rows])
    steps = [row["env_steps_to_threshold"] or np.inf for row in rows]
    seconds = [row["seconds_to_threshold"] or np.inf for row in rows]
    return {
        "iqm": float(iqm(values)),
        "interval": tuple(float(end) for end in iqm_interval(values)),
        "worst": float(values.min()),
        "reached": f"{int((values >= threshold).sum())} of {len(values)}",
        "steps_to_threshold": float(np.median(steps)),
        "seconds_to_threshold": float(np.median(seconds)),
        "env_steps": float(np.median([row["env_steps"] for row in rows])),
        "seconds": float(np.median([row["seconds"] for row in rows])),
    }


def run(env: str, algorithm: str, seeds: int, jobs: int) -> None:
    """Run all seeds, some at a time, and write them into one file."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        rows = list(pool.map(partial(train, env, algorithm), range(seeds)))
    content = {**describe(), "runs_at_a_time": jobs, "env": env, "algorithm": algorithm, "rows": rows}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{env}-{algorithm}.json").write_text(json.dumps(content) + "\n")
    print(env, algorithm, summary(content), flush=True)


def results(env: str) -> list[dict[str, Any]]:
    """The contents of all results files of an environment."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{env}-*.json"))]


def table() -> None:
    """Print one Markdown table for each environment, the best algorithm first."""
    for env, threshold in THRESHOLDS.items():
        found = results(env)
        if not found:
            continue
        rows = sorted(((summary(content), content) for content in found), key=lambda pair: -pair[0]["iqm"])
        digits = 3 if env == "FrozenLake-v1" else 1
        print(f"\n**{env}** (threshold {threshold:g})\n")
        heads = ["algorithm", "IQM", "95 % interval", "worst seed", "seeds at threshold", "env steps to it"]
        heads += ["CPU seconds to it", "env steps in all"]
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for line, content in rows:
            low, high = line["interval"]
            scores = f"{line['iqm']:.{digits}f} | {low:.{digits}f} to {high:.{digits}f} | {line['worst']:.{digits}f}"
            speed = f"{line['steps_to_threshold'] / 1e3:,.0f}k | {line['seconds_to_threshold']:.1f}"
            reached, budget = line["reached"], f"{line['env_steps'] / 1e3:,.0f}k"
            print(
                f"| {content['algorithm']} | {scores} | {reached} | {speed} | {budget} |".replace("infk | inf", "- | -")
            )


def picture(path: Path) -> None:
    """Draw medians of held-out scores over env steps, one line per algorithm and one panel per environment."""
    import matplotlib.pyplot as plt

    colors = {name: f"C{number}" for number, name in enumerate(ALGORITHMS)}
    figure, panels = plt.subplots(2, 4, figsize=(14, 6.4), layout="constrained")
    for panel, (env, threshold) in zip(panels.flat, THRESHOLDS.items(), strict=True):
        for content in results(env):
            curves = [np.array([(0, np.nan), *row["curve"]], float).T for row in content["rows"]]
            steps = np.linspace(0, max(curve[0, -1] for curve in curves), 200)
            # a run that has stopped keeps its last score
            scores = np.array([np.interp(steps, curve[0, 1:], curve[1, 1:], left=np.nan) for curve in curves])
            enough = np.isfinite(scores).mean(0) > 0.5
            name = content["algorithm"]
            panel.plot(steps[enough] / 1e6, np.nanmedian(scores[:, enough], 0), color=colors[name], label=name)
        panel.axhline(threshold, color="gray", linewidth=0.8, linestyle="--")
        panel.set_title(env, fontsize=11)
        panel.grid(alpha=0.2)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("env steps, million")
    for row in panels:
        row[0].set_ylabel("held-out score, median of 10 seeds")
    handles = {line.get_label(): line for panel in panels.flat for line in panel.get_lines()}
    order = [name for name in colors if name in handles]
    figure.legend([handles[name] for name in order], order, loc="outside lower center", ncols=8, frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--env", choices=THRESHOLDS, required=True)
    running.add_argument("--algorithms", nargs="+", required=True)
    running.add_argument("--seeds", type=int, default=10)
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    commands.add_parser("table")
    commands.add_parser("picture")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    if arguments.command == "picture":
        picture(RESULTS.with_suffix(".png"))
        return
    for algorithm in arguments.algorithms:
        run(arguments.env, algorithm, arguments.seeds, arguments.jobs)


if __name__ == "__main__":
    main()
