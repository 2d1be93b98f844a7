"""Every algorithm on classic and hard problems, with the shipped presets, scored on held-out episodes.

python experiments/ladder.py run --env Acrobot-v1 --algorithms cem pgpe
                                         trains, and adds rows to results/ladder/<env>-<algorithm>-<policy>.json; runs
                                         that were cut off go on
python experiments/ladder.py table       prints the tables of all that lies there
python experiments/ladder.py picture     draws their curves over env steps and seconds, results/ladder*.png
python experiments/ladder.py check       names the presets that have no result
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import rows
from frozen_lake import success_probability

import torchpolicy as tp
from torchpolicy.output.summary import iqm
from torchpolicy.runs import preset
from torchpolicy.runs.algorithms import algorithm_names

RESULTS = Path(__file__).parent / "results" / "ladder"
ALGORITHMS = ("cem", "nes", "snes", "xnes", "pgpe", "ars", "deepcem", "reinforce")
THRESHOLDS = {
    "CartPole-v1": 475.0,
    "FrozenLake-v1": 0.70,
    "Acrobot-v1": -100.0,
    "MountainCar-v0": -110.0,
    "MountainCarContinuous-v0": 90.0,
    "Pendulum-v1": -200.0,
    "LunarLanderContinuous-v3": 200.0,
    "LunarLander-v3": 200.0,
    "InvertedDoublePendulum-v5": 9100.0,
    "Swimmer-v5": 355.0,
    "Hopper-v5": 3000.0,
    "HalfCheetah-v5": 4800.0,
    "Walker2d-v5": 3000.0,
    "Ant-v5": 2500.0,
    "BipedalWalker-v3": 300.0,
    "Humanoid-v5": 3000.0,
}
"""Gymnasium's; but Pendulum's, Swimmer's, Walker2d's, Ant's and Humanoid's are our own."""


def train(env: str, algorithm: str, policy: str, folder: Path, seed: int) -> rows.Row:
    """One run with its preset. Seconds are processor time, because two runs share a machine."""
    begin, processor = time.monotonic(), time.process_time()
    best = preset.kind_of(preset.presets_of(algorithm)[env][0]) == policy
    run_dir = folder / f"{env}-{algorithm}-{policy}-{seed}"
    result = tp.train(env, algorithm, policy=None if best else policy, seed=seed, run_dir=run_dir)
    share = (time.process_time() - processor) / (time.monotonic() - begin)
    evaluation = result.evaluation
    if len(evaluation.returns) < 100:
        evaluation = tp.evaluate(result.policy, env, episodes=100)
    config = json.loads((run_dir / "config.json").read_text())
    curve = rows.curve(result.metrics)
    there = rows.first_at(curve, THRESHOLDS[env])
    elapsed = {row["rollout/env_steps"]: row["time/elapsed"] for row in result.metrics}
    row = {
        "seed": seed,
        "mean": evaluation.mean,
        "ci": evaluation.ci,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(share * result.metrics[-1]["time/elapsed"], 1),
        "env_steps_to_threshold": there,
        "seconds_to_threshold": there and round(share * elapsed[there], 1),
        "curve": rows.thinned(curve, 200),
        "preset": config["preset"],
    }
    if env == "FrozenLake-v1":
        row["success_probability"] = success_probability(result.policy)
    return row


def summary(content: dict[str, Any]) -> dict[str, Any]:
    """The table's row for an environment and an algorithm."""
    mine, threshold = content["rows"], THRESHOLDS[content["env"]]
    key = "success_probability" if "success_probability" in mine[0] else "mean"
    values = np.array([row[key] for row in mine])
    steps = [row["env_steps_to_threshold"] or np.inf for row in mine]
    seconds = [row["seconds_to_threshold"] or np.inf for row in mine]
    return {
        "iqm": float(iqm(values)),
        "interval": rows.interval(values, 3 if key == "success_probability" else 1),
        "worst": float(values.min()),
        "reached": f"{int((values >= threshold).sum())} of {len(values)}",
        "steps_to_threshold": float(np.median(steps)),
        "seconds_to_threshold": float(np.median(seconds)),
        "env_steps": float(np.median([row["env_steps"] for row in mine])),
        "seconds": float(np.median([row["seconds"] for row in mine])),
    }


def run(env: str, algorithm: str, policy: str, seeds: list[int], jobs: int, folder: Path) -> None:
    """Run the seeds that are missing, some at a time, and save each row when it is finished."""
    path, kind = path_of(env, algorithm, policy), {"env": env, "algorithm": algorithm, "policy": policy}
    measured, line = rows.read(path), line_of(env, algorithm, policy)
    if any(row["preset"] != line for row in measured):  # of a preset that has changed since
        rows.write(path, [row for row in measured if row["preset"] == line], jobs, **kind)
    rows.fill(
        path, partial(train, env, algorithm, policy, folder), ("seed",), [(seed,) for seed in seeds], jobs, **kind
    )


def path_of(env: str, algorithm: str, policy: str) -> Path:
    """The results file of an environment, an algorithm and a kind of policy."""
    return RESULTS / f"{env}-{algorithm}-{policy}.json"


def line_of(env: str, algorithm: str, policy: str) -> str | None:
    """What a run with a preset says that it took; None if there is no such preset."""
    for number, each in enumerate(preset.presets_of(algorithm).get(env, [])):
        if preset.kind_of(each) == policy:
            taken = {name: value for name, value in each.items() if number == 0 or name != "policy"}
            return f"{algorithm}/{env}: {preset.describe(taken)}"
    return None


def check() -> None:
    """Name the presets without at least five seeds of today's settings. Exits with 1 if there are any."""
    missing = []
    for algorithm in algorithm_names():
        for env, presets in preset.presets_of(algorithm).items():
            for policy in map(preset.kind_of, presets):
                measured, line = rows.read(path_of(env, algorithm, policy)), line_of(env, algorithm, policy)
                if sum(row["preset"] == line for row in measured) < 5:
                    missing.append(f"{algorithm} {env} {policy}: {len(measured)} seeds, not five of today's settings")
    print(*missing, sep="\n")
    sys.exit(bool(missing))


def results(env: str) -> list[dict[str, Any]]:
    """The contents of all results files of an environment."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{env}-*.json"))]


def table() -> None:
    """Print one Markdown table for each environment, the best algorithm first."""
    for env, threshold in THRESHOLDS.items():
        found = results(env)
        if not found:
            continue
        lines = sorted(((summary(content), content) for content in found), key=lambda pair: -pair[0]["iqm"])
        digits = 3 if env == "FrozenLake-v1" else 1
        print(f"\n**{env}** (threshold {threshold:g})\n")
        heads = ["algorithm", "policy", "IQM", "95 % interval", "worst seed", "seeds at threshold", "env steps to it"]
        heads += ["CPU seconds to it", "env steps in all"]
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for line, content in lines:
            scores = f"{line['iqm']:.{digits}f} | {line['interval']} | {line['worst']:.{digits}f}"
            speed = f"{line['steps_to_threshold'] / 1e3:,.0f}k | {line['seconds_to_threshold']:.1f}"
            reached, budget = line["reached"], f"{line['env_steps'] / 1e3:,.0f}k"
            cells = f"{content['algorithm']} | {content['policy']} | {scores} | {reached} | {speed} | {budget}"
            print(f"| {cells} |".replace("infk | inf", "- | -"))


def picture(path: Path, seconds: bool) -> None:
    """Draw medians of held-out scores, one line per algorithm and one panel per environment.

    Args:
        path: The picture.
        seconds: Whether over processor seconds instead of env steps: the median seconds of a step times the steps.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullFormatter

    colors = {name: f"C{number}" for number, name in enumerate(ALGORITHMS)}
    envs = [env for env in THRESHOLDS if results(env)]
    figure, panels = plt.subplots(-(-len(envs) // 4), 4, figsize=(14, 3.1 * -(-len(envs) // 4)), layout="constrained")
    for panel in panels.flat[len(envs) :]:
        panel.remove()
    for panel, env in zip(panels.flat, envs, strict=False):
        for content in results(env):
            mine = content["rows"]
            curves = [np.array(row["curve"], float).T for row in mine]
            first, last = min(steps[0] for steps, _ in curves), max(steps[-1] for steps, _ in curves)
            steps = np.geomspace(first, last, 300) if seconds else np.linspace(0, last, 300)
            # a run that has stopped keeps its last score
            scores = np.array([np.interp(steps, curve[0], curve[1], left=np.nan) for curve in curves])
            at = steps * (np.median([row["seconds"] / row["env_steps"] for row in mine]) if seconds else 1e-6)
            enough = np.isfinite(scores).mean(0) > 0.5
            name, line = content["algorithm"], "-" if content["policy"] == "linear" else "--"
            median = np.nanmedian(scores[:, enough], 0)
            panel.plot(at[enough], median, line, color=colors[name], label=name)
        panel.axhline(THRESHOLDS[env], color="gray", linewidth=0.8, linestyle=":")
        panel.set_title(env, fontsize=11)
        panel.grid(alpha=0.2)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("CPU seconds" if seconds else "env steps, million")
        if seconds:
            panel.set_xscale("log")
            panel.xaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_formatter(NullFormatter())
    for row in panels:
        row[0].set_ylabel("held-out score, median of seeds")
    drawn = {line.get_label() for panel in figure.axes for line in panel.get_lines()}
    shown = [Line2D([], [], color=color, label=name) for name, color in colors.items() if name in drawn]
    title = "linear policies: solid lines; networks: dashed"
    figure.legend(handles=shown, title=title, loc="outside lower center", ncols=8, frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--env", choices=THRESHOLDS, required=True)
    running.add_argument("--algorithms", nargs="+", required=True)
    running.add_argument("--policies", nargs="+", help="kinds of policy; if not given, all that have a preset")
    running.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    running.add_argument("--runs", type=Path, default=Path(gettempdir()) / "ladder", help="folder of the runs")
    for name in ("table", "picture", "check"):
        commands.add_parser(name)
    arguments = parser.parse_args()
    if arguments.command == "run":
        for algorithm in arguments.algorithms:
            kinds = [preset.kind_of(each) for each in preset.presets_of(algorithm).get(arguments.env, [])]
            for policy in arguments.policies or kinds:
                run(arguments.env, algorithm, policy, arguments.seeds, arguments.jobs, arguments.runs)
    elif arguments.command == "table":
        table()
    elif arguments.command == "picture":
        picture(RESULTS.with_suffix(".png"), seconds=False)
        picture(RESULTS.with_name("ladder_seconds.png"), seconds=True)
    else:
        check()


if __name__ == "__main__":
    main()
