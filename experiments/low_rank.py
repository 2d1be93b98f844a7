"""Dense noise against noise of low rank, from narrow to wide networks: NES with an MLP of two hidden layers.

For each environment, width and kind of noise there are some seeds, all with the same number of env steps. The tables
show the final held-out score, the rate, and the score that the slower kind had reached when the faster one was done.
The std is half of each layer's initial scale and the learning rate a fifth of it, everywhere. Nine such pairs were
tried with rank 1 on CartPole (256 units) and four on the lander (64 units), three seeds each; this pair solves both.

python experiments/low_rank.py run --env CartPole-v1 --widths 16 64 256 --seeds 5     adds to what is in the results
python experiments/low_rank.py table      prints the tables of all that lies there
python experiments/low_rank.py picture    draws their curves, results/low_rank.png
"""

import argparse
import json
import tempfile
import time
from contextlib import closing
from itertools import accumulate
from pathlib import Path
from statistics import mean, median
from typing import Any

import gymnasium
import numpy as np
from benchmarks.machine import describe
from rows import interval

import torchpolicy as tp
from torchpolicy.output.summary import iqm

RESULTS = Path(__file__).parent / "results" / "low_rank"

SETTINGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"total_steps": 500_000},
    "LunarLanderContinuous-v3": {"total_steps": 1_000_000, "normalize_observations": True, "population": 100},
    "HalfCheetah-v5": {"total_steps": 3_000_000, "normalize_observations": True, "population": 40}
    | {"eval_every": 2, "eval_episodes": 10},
}

NOISE: dict[str, int | None] = {"dense": None, "rank 1": 1}


STD, LEARNING_RATE = 0.5, 0.2
"""The std in units of each layer's initial scale, and the learning rate in units of its mean."""

THRESHOLDS = {"CartPole-v1": 475.0, "LunarLanderContinuous-v3": 200.0, "HalfCheetah-v5": 1000.0}
"""Scores at which an environment counts as solved. Gymnasium's, except HalfCheetah's, which is our own."""


def run(env: str, width: int, rank: int | None, seed: int) -> dict[str, Any]:
    """One run, as a row with the curve of the center's held-out scores: (env steps, seconds of training, score).

    Seconds are processor time, because machines are shared.
    """
    with closing(gymnasium.make(env)) as made:
        policy = tp.MLPPolicy(made.observation_space, made.action_space, hidden=(width, width), seed=seed)
    scale = tp.ParamVector(policy.net).initial_scale()
    begin, processor = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "nes",
            policy=policy,
            noise_rank=rank,
            std=scale * STD,
            learning_rate=float(scale.mean()) * LEARNING_RATE,
            seed=seed,
            preset=False,
            target=None,
            log_dir=folder,
            **{"eval_every": 5, "eval_episodes": 50, **SETTINGS[env]},
        )
    share = (time.process_time() - processor) / (time.perf_counter() - begin)
    rows, last = result.metrics, result.metrics[-1]
    parts = [share * sum(row[f"time/{part}_s"] for part in ("ask", "rollout", "update")) for row in rows]
    seconds = list(accumulate(parts))
    curve = [
        (row["rollout/env_steps"], round(spent, 2), round(row["eval/mean_reward"], 2))
        for row, spent in zip(rows, seconds, strict=True)
        if "eval/mean_reward" in row
    ]
    training = seconds[-1] - seconds[0]
    steps = last["rollout/env_steps"] - rows[0]["rollout/env_steps"]
    return {
        **{name: describe()[name] for name in ("commit", "date")},
        "width": width,
        "noise": next(name for name, value in NOISE.items() if value == rank),
        "seed": seed,
        "parameters": tp.ParamVector(result.policy.net).dim,
        "mean": result.evaluation.mean,
        "env_steps": last["rollout/env_steps"],
        "seconds": round(training, 2),
        "env steps/s": round(steps / training),
        "curve": curve,
    }


def at(curve: list[list[float]], seconds: float) -> float:
    """The last score of a curve up to a time; NaN before the first."""
    scores = [score for _, elapsed, score in curve if elapsed <= seconds]
    return scores[-1] if scores else float("nan")


def time_to(curve: list[list[float]], threshold: float) -> float:
    """Seconds until a curve first reaches a score."""
    return next((elapsed for _, elapsed, score in curve if score >= threshold), float("inf"))


def results() -> list[dict[str, Any]]:
    """The contents of all results files, in the order of the environments above."""
    paths = [RESULTS / f"{env}.json" for env in SETTINGS]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def table() -> None:
    """Print what is in the results, for the README."""
    for content in results():
        env, rows = content["env"], content["rows"]
        commits = ", ".join(sorted({row["commit"] for row in rows}))
        print(f"\n**{env}**, {content['total_steps']:,} env steps, commit {commits}\n")
        heads = ["width", "parameters", "noise", "seeds", "score (95 % interval)", "env steps/s"]
        heads += [f"seconds to {THRESHOLDS[env]:g}", "at the time of rank 1's end"]
        print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for width in sorted({row["width"] for row in rows}):
            end = median(row["curve"][-1][1] for row in rows if (row["width"], row["noise"]) == (width, "rank 1"))
            for noise in NOISE:
                mine = [row for row in rows if (row["width"], row["noise"]) == (width, noise)]
                scores = np.array([row["mean"] for row in mine])
                reached = median(time_to(row["curve"], THRESHOLDS[env]) for row in mine)
                cells = [f"{width:,}", f"{mine[0]['parameters']:,}", noise, str(len(mine))]
                cells += [f"{iqm(scores):.1f} ({interval(scores, 1)})"]
                cells += [f"{median(row['env steps/s'] for row in mine):,.0f}", f"{reached:.1f}".replace("inf", "-")]
                cells += [f"{mean(at(row['curve'], end) for row in mine):.1f}"]
                print(f"| {' | '.join(cells)} |")


def picture(path: Path) -> None:
    """Draw held-out scores over seconds of training: median and range over seeds, one panel per width."""
    import matplotlib.pyplot as plt

    found = results()
    columns = max(len({row["width"] for row in content["rows"]}) for content in found)
    size = (3.2 * columns + 0.6, 2.4 * len(found) + 0.4)
    figure, panels = plt.subplots(len(found), columns, figsize=size, layout="constrained", squeeze=False)
    for content, line in zip(found, panels, strict=True):
        widths = sorted({row["width"] for row in content["rows"]})
        for panel, width in zip(line, widths, strict=False):
            for number, noise in enumerate(NOISE):
                curves = [
                    np.array(row["curve"]).T
                    for row in content["rows"]
                    if (row["width"], row["noise"]) == (width, noise)
                ]
                times = np.linspace(max(curve[1, 0] for curve in curves), min(curve[1, -1] for curve in curves), 200)
                scores = np.array([np.interp(times, curve[1], curve[2]) for curve in curves])
                panel.fill_between(times, scores.min(0), scores.max(0), color=f"C{number}", alpha=0.15, linewidth=0)
                panel.plot(times, np.median(scores, 0), color=f"C{number}", label=noise)
            panel.axhline(THRESHOLDS[content["env"]], color="gray", linewidth=0.8, linestyle="--")
            panel.set_title(f"{content['env']}, {width:,} units", fontsize=10)
        for panel in line:
            panel.grid(alpha=0.2)
            panel.spines[["top", "right"]].set_visible(False)
        for panel in line[len(widths) :]:
            panel.set_visible(False)
        line[0].set_ylabel("held-out score")
    for column in panels.T:
        [panel for panel in column if panel.get_visible()][-1].set_xlabel("seconds of training")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    runs = commands.add_parser("run")
    runs.add_argument("--env", choices=SETTINGS, required=True)
    runs.add_argument("--widths", type=int, nargs="+", default=[16, 64, 256, 1024])
    runs.add_argument("--seeds", type=int, default=5)
    commands.add_parser("table")
    commands.add_parser("picture")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    if arguments.command == "picture":
        picture(RESULTS.with_suffix(".png"))
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{arguments.env}.json"
    content: dict[str, Any] = {**describe(), "env": arguments.env, **SETTINGS[arguments.env], "rows": []}
    if path.exists():
        content["rows"] = json.loads(path.read_text())["rows"]
    for width in arguments.widths:
        for seed in range(arguments.seeds):
            for rank in NOISE.values():
                row = run(arguments.env, width, rank, seed)
                print({name: value for name, value in row.items() if name != "curve"}, flush=True)
                content["rows"] = [old for old in content["rows"] if not same(old, row)] + [row]
                path.write_text(json.dumps(content) + "\n")


def same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two rows belong to the same run."""
    return all(old[name] == new[name] for name in ("width", "noise", "seed"))


if __name__ == "__main__":
    main()
