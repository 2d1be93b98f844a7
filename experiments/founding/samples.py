"""Running a founding sample: seeds one after another, a table, a results file and a picture of the curves."""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import gymnasium
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from benchmarks.machine import describe
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

import torchpolicy as tp

matplotlib.use("Agg")  # pictures go to files

RESULTS = Path(__file__).parent / "results"
RENDER = "train the first seed alone, and show the mean policy in a window every N generations"


@dataclass(frozen=True)
class Sample:
    """One founding sample, and how it is run.

    Attributes:
        name: Name of the results file.
        env: The environment's Gymnasium id.
        threshold: Score at which the environment counts as solved.
        train: A function that takes a seed, a run folder and the settings of a variant, and trains a policy.
        variants: Settings by title, the recommended one first. All run with the same seeds.
        exact: A function that computes the true score of a policy; None if that is impossible.
    """

    name: str
    env: str
    threshold: float
    train: Callable[[int, str, Mapping[str, Any]], tp.Result]
    variants: Mapping[str, Mapping[str, Any]]
    exact: Callable[[tp.Policy], float] | None = None


def run(sample: Sample, seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train with one seed, and return its row of the results.

    Seconds are CPU time, because other work on the machine does not count in it, and include held-out evaluations.
    """
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        result = sample.train(seed, f"{folder}/run", settings)
        seconds = time.process_time() - begin
    last = result.metrics[-1]
    row = {
        "seed": seed,
        "mean": result.evaluation.mean,
        "ci": result.evaluation.ci,
        "generations": last["generation"],
        "env_steps": last["rollout/env_steps"],
        "all_equal": sum(each["search/stalled"] for each in result.metrics),  # generations of equal scores
        "seconds": round(seconds, 1),
    }
    if sample.exact is not None:
        row["exact"] = sample.exact(result.policy)
    scored = [each for each in result.metrics if "eval/mean_reward" in each]
    return row | {"curve": [(each["rollout/env_steps"], each["eval/mean_reward"]) for each in scored]}


class Show(tp.callbacks.Callback):
    """Plays an episode of the mean policy in a window while a run trains.

    Args:
        env: The environment's Gymnasium id.
        every: Generations between episodes.
    """

    def __init__(self, env: str, every: int) -> None:
        self._env = gymnasium.make(env, render_mode="human")
        self._every = every

    def on_generation_end(self, run: tp.callbacks.Run, metrics: dict[str, float]) -> None:
        if run.generation % self._every:
            return
        observation, _ = self._env.reset(seed=0)
        score, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = self._env.step(run.policy.act(observation))
            score, ended = score + float(reward), terminated or truncated
        print(f"generation {run.generation}: the episode in the window scored {score:g}", flush=True)

    def on_end(self, run: tp.callbacks.Run) -> None:
        self._env.close()


def show(sample: Sample, seed: int, every: int) -> None:
    """Train with one seed and the recommended settings, and show the mean policy every so many generations."""
    settings = next(iter(sample.variants.values()))
    callbacks = [*settings.get("callbacks", ()), Show(sample.env, every)]
    with tempfile.TemporaryDirectory() as folder:
        sample.train(seed, f"{folder}/run", {**settings, "callbacks": callbacks})


def score(row: dict[str, Any]) -> float:
    """The score of a row: the true score if it was computed, and otherwise the mean of the test episodes."""
    return float(row.get("exact", row["mean"]))


def table(sample: Sample, rows: list[dict[str, Any]]) -> str:
    """A Markdown table with one line for each seed, and one for all of them."""
    digits = 1 if sample.exact is None else 3
    heads = ["seed", "test mean", "95 % interval", "generations", "env steps", "CPU seconds"]
    lines = [
        [
            str(row["seed"]),
            f"{row['mean']:.{digits}f}",
            f"{row['ci'][0]:.{digits}f} to {row['ci'][1]:.{digits}f}",
            f"{row['generations']:,}",
            f"{row['env_steps']:,.0f}",
            f"{row['seconds']:.1f}",
        ]
        for row in rows
    ]
    last = [f"{mean(row['mean'] for row in rows):.{digits}f}", ""]
    middle = [median(row[key] for row in rows) for key in ("generations", "env_steps", "seconds")]
    lines.append(["mean, medians", *last, f"{middle[0]:,.0f}", f"{middle[1]:,.0f}", f"{middle[2]:.1f}"])
    if sample.exact is not None:
        heads.append("exact")
        for line, row in zip(lines, rows, strict=False):
            line.append(f"{row['exact']:.4f}")
        lines[-1].append(f"{mean(row['exact'] for row in rows):.4f}")
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def draw(sample: Sample, results: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw one panel per variant: a thin line for each seed, with a dot where it stopped, and a thick median."""
    figure, panels = plt.subplots(
        1, len(results), figsize=(8, 3.6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for panel, (title, rows) in zip(panels[0], results.items(), strict=True):
        _draw_panel(panel, [np.array(row["curve"], float).T for row in rows])
        panel.axhline(
            sample.threshold, color="black", linewidth=0.9, linestyle="--", label=f"threshold {sample.threshold:g}"
        )
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("env steps")
    panels[0, 0].set_ylabel("held-out score of the center")
    panels[0, 0].set_ylim(bottom=0)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(f"{sample.env}: {len(rows)} seeds", fontsize=11)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def _draw_panel(panel: Axes, curves: list[np.ndarray[Any, Any]]) -> None:
    """Draw curves (2, N), which hold env steps and scores. A run that has stopped keeps its last score."""
    for number, (steps, scores) in enumerate(curves):
        panel.plot(steps, scores, color="C0", alpha=0.45, linewidth=0.9, label=None if number else "one seed")
        panel.plot(steps[-1], scores[-1], "o", color="C0", alpha=0.6, markersize=3)
    grid = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = grid[grid >= max(steps[0] for steps, _ in curves)]
    middle = np.median([np.interp(np.log(grid), np.log(steps), scores) for steps, scores in curves], axis=0)
    panel.plot(grid, middle, color="C3", linewidth=2.2, label="median")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def every(text: str) -> int:
    """The number of generations that an argument stands for."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def main(sample: Sample, description: str | None) -> None:
    """Run all seeds of all variants, print, write, draw."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed; settings were chosen on 100 and later")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{sample.name}.json")
    parser.add_argument("--render", type=every, metavar="N", help=RENDER)
    arguments = parser.parse_args()
    if arguments.render is not None:
        show(sample, arguments.first, arguments.render)
        return
    results: dict[str, list[dict[str, Any]]] = {}
    for title, settings in sample.variants.items():
        seeds = range(arguments.first, arguments.first + arguments.seeds)
        rows = results[title] = [run(sample, seed, settings) for seed in seeds]
        solved = sum(score(row) >= sample.threshold for row in rows)
        print(
            f"\n{title}: {solved} of {len(rows)} at {sample.threshold:g} or more\n\n{table(sample, rows)}", flush=True
        )
    arguments.out.parent.mkdir(exist_ok=True)
    content = {**describe(), "env": sample.env, "threshold": sample.threshold}
    variants = [{"title": title, "settings": sample.variants[title], "rows": rows} for title, rows in results.items()]
    text = json.dumps({**content, "variants": variants}, default=lambda callback: type(callback).__name__)
    arguments.out.write_text(text + "\n")
    draw(sample, results, arguments.out.with_suffix(".png"))
