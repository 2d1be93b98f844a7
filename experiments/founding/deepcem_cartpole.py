"""The founding sample of DeepCEM: CartPole, a (20, 20) tanh MLP, 100 episodes an iteration, elite above percentile 70.

It is solved when the mean return of a batch, played with sampled actions, exceeds 195. There are three variants. One
has the settings of the package. One makes a single pass over the elite with a learning rate of 0.001, like the sample's
classifier. One has all of the sample's values: that pass, episodes of up to 1,000 steps, the classifier's L2, and an
end as soon as a batch exceeds 195. (The classifier divides its L2 of 1e-4 by the 200 steps of a minibatch.)

python experiments/founding/deepcem_cartpole.py
python experiments/founding/deepcem_cartpole.py --render 3    shows the greedy policy in a window every 3 iterations
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from benchmarks.machine import describe
from founding.samples import RENDER, Show, every

import torchpolicy as tp

matplotlib.use("Agg")  # pictures go to files

SOLVED = 195.0
RESULTS = Path(__file__).parent / "results" / "deepcem_cartpole.json"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "four passes, learning rate 0.01": {},
    "one pass, learning rate 0.001": {"epochs": 1, "minibatch": 200, "learning_rate": 0.001},
    "the sample's values": {
        "epochs": 1,
        "minibatch": 200,
        "learning_rate": 0.001,
        "optimizer_args": {"weight_decay": 1e-4 / 200},
        "max_episode_steps": 1000,
        "callbacks": [tp.callbacks.StopOnReturn(SOLVED)],
    },
}


class Clock(tp.callbacks.Callback):
    """Adds the CPU time of the process to the metrics of each generation."""

    def on_generation_end(self, run: tp.callbacks.Run, metrics: dict[str, float]) -> None:
        metrics["time/cpu"] = time.process_time()


def train(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train with one seed, and return its row of the results.

    Seconds are CPU time, because other work on the machine does not count in it, and include all that a run does from
    its start, held-out evaluations as well. The score is that of the greedy policy, in episodes of up to 500 steps.
    """
    given = {**settings, "callbacks": [Clock(), *settings.get("callbacks", ())]}
    begin = time.process_time()
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
            **given,
        )
    rows = result.metrics
    score = tp.evaluate(result.policy, "CartPole-v1")
    solved = next(i for i, row in enumerate(rows) if row["rollout/ep_rew_mean"] > SOLVED)
    return {
        "seed": seed,
        "iterations": solved + 1,
        "env_steps": rows[solved]["rollout/env_steps"],
        "seconds": rows[solved]["time/cpu"] - begin,
        "mean": score.mean,
        "ci": score.ci,
        "env_steps_in_all": rows[-1]["rollout/env_steps"],
        "curve": [(row["rollout/env_steps"], row["rollout/ep_rew_mean"]) for row in rows],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A Markdown table with one line for each seed, and one for all of them."""
    lines = [
        "| seed | iterations to 195 | env steps to 195 | CPU seconds to 195 | test mean at the end | env steps in all |"
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
    figure, panels = plt.subplots(
        1, len(results), figsize=(8, 3.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
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
    """Run all seeds of all variants, print, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--render", type=every, metavar="N", help=RENDER)
    arguments = parser.parse_args()
    if arguments.render is not None:
        train(0, {"callbacks": [Show("CartPole-v1", arguments.render)]})
        return
    results = {}
    for title, settings in VARIANTS.items():
        results[title] = [train(seed, settings) for seed in range(arguments.seeds)]
        print(f"\n{title}\n\n{table(results[title])}", flush=True)
    arguments.out.write_text(json.dumps({**describe(), "variants": results}) + "\n")
    draw(results, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
