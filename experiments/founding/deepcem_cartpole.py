"""The founding sample of DeepCEM: CartPole, a (20, 20) tanh MLP, 100 episodes an iteration, elite above percentile 70.

It is solved when the mean return of a batch, played with sampled actions, exceeds 195. There are two variants: one
makes a single pass over the elite with a learning rate of 0.001, like the sample's classifier, and one has the settings
of the package.

python experiments/founding/deepcem_cartpole.py
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from benchmarks.machine import describe

import torchpolicy as tp

matplotlib.use("Agg")  # pictures go to files

SOLVED = 195.0
RESULTS = Path(__file__).parent / "results" / "deepcem_cartpole.json"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "four passes, learning rate 0.01": {},
    "one pass, learning rate 0.001 (the sample)": {"epochs": 1, "minibatch": 200, "learning_rate": 0.001},
}


def train(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train with one seed, and return its row of the results. Seconds include playing and learning only."""
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            "CartPole-v1",
            "deepcem",
            policy_args={"hidden": (20, 20), "activation": "tanh"},
            episodes=100,
            percentile=70,
            target=None,  # the greedy policy is there before the sampled batch is
            total_steps=300_000,
            preset=False,
            seed=seed,
            run_dir=f"{folder}/run",
            **settings,
        )
    rows = result.metrics
    solved = next(i for i, row in enumerate(rows) if row["rollout/ep_rew_mean"] > SOLVED)
    return {
        "seed": seed,
        "iterations": solved + 1,
        "env_steps": rows[solved]["rollout/env_steps"],
        "seconds": sum(row["time/rollout_s"] + row["time/update_s"] for row in rows[: solved + 1]),
        "mean": result.evaluation.mean,
        "ci": result.evaluation.ci,
        "env_steps_in_all": rows[-1]["rollout/env_steps"],
        "curve": [(row["rollout/env_steps"], row["rollout/ep_rew_mean"]) for row in rows],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with one line for each seed, and one for all of them."""
    lines = [
        "| seed | iterations to 195 | env steps to 195 | seconds to 195 | test mean at the end | env steps in all |"
    ]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        lines.append(
            f"| {row['seed']} | {row['iterations']} | {row['env_steps']:,.0f} | {row['seconds']:.2f} "
            f"| {row['mean']:.1f} | {row['env_steps_in_all']:,.0f} |"
        )
    middle = {key: median(row[key] for row in rows) for key in rows[0] if key not in ("curve", "ci")}
    lines.append(
        f"| median | {middle['iterations']:.0f} | {middle['env_steps']:,.0f} | {middle['seconds']:.2f} "
        f"| {middle['mean']:.1f} | {middle['env_steps_in_all']:,.0f} |"
    )
    return "\n".join(lines)


def draw(results: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw the means of batches over env steps, one line for each seed."""
    figure, panels = plt.subplots(1, len(results), figsize=(8, 3.4), sharey=True, squeeze=False, layout="constrained")
    for panel, (title, rows) in zip(panels[0], results.items(), strict=True):
        for row in rows:
            panel.plot(*zip(*row["curve"], strict=True), color="C0", alpha=0.5, linewidth=0.9)
        panel.axhline(SOLVED, color="black", linewidth=0.9, linestyle="--")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("env steps")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("mean return of the batch")
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    """Run all seeds of both variants, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    results = {}
    for title, settings in VARIANTS.items():
        results[title] = [train(seed, settings) for seed in range(arguments.seeds)]
        print(f"\n{title}\n\n{table(results[title])}", flush=True)
    arguments.out.write_text(json.dumps({**describe(), "variants": results}) + "\n")
    draw(results, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
