"""Time of DeepCEM on CartPole-v1 with a (20, 20) tanh MLP until the mean return of a batch exceeds 195.

Ours, with both settings of `experiments/founding/deepcem_cartpole.py` and with the package's preset, is compared with
the founding sample's own loop, which uses scikit-learn's classifier. Seconds include playing and learning from the
start of training, but not imports, making the environment, or held-out evaluations. The sides take turns, seed by seed.
The ratio is that of the medians, because the same seed means different episodes on the two sides.

python experiments/benchmarks/peers.py       makes scikit-learn's environment, once
python experiments/benchmarks/deep_cem.py
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe
from peers import run_peer, versions

import torchpolicy as tp

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from founding.deepcem_cartpole import SOLVED, VARIANTS

SAMPLE = "the founding sample, scikit-learn"
COMMON = {"policy_args": {"hidden": (20, 20), "activation": "tanh"}, "episodes": 100, "percentile": 70, "preset": False}
WAYS: Mapping[str, Mapping[str, Any]] = {
    **{title: {**COMMON, **settings} for title, settings in VARIANTS.items()},
    "64 episodes, percentile 80, three passes, learning rate 0.02": {  # fewer steps of the optimizer
        **COMMON,
        **{"episodes": 64, "percentile": 80, "epochs": 3, "learning_rate": 0.02},
    },
    "the preset": {},  # the same network
}
SECONDS, RATIO = 1.0, 20.0
"""The goals."""


def ours(seed: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One run: its iterations, steps and seconds until a batch exceeds 195.

    The run itself goes on until the greedy policy does so too, or for 300k steps.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = tp.train(
            "CartPole-v1",
            "deepcem",
            target=None,  # the greedy policy is there before the sampled batch is
            total_steps=300_000,
            eval_every=10_000,
            eval_episodes=1,
            seed=seed,
            run_dir=f"{folder}/run",
            **settings,
        ).metrics
    there = [i for i, row in enumerate(rows) if row["rollout/ep_rew_mean"] > SOLVED]
    taken = rows[: there[0] + 1] if there else rows
    return {
        "iterations": len(taken),
        "steps": taken[-1]["rollout/env_steps"],
        "seconds": sum(row["time/rollout_s"] + row["time/update_s"] for row in taken),
        "solved": bool(there),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="number of seeds")
    parser.add_argument("--seconds", type=int, default=120, help="seconds after which the sample begins no iteration")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "deep_cem.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    taken: dict[str, list[dict[str, Any]]] = {way: [] for way in (*WAYS, SAMPLE)}
    for seed in range(arguments.repeats):
        for way, settings in WAYS.items():
            taken[way].append(ours(seed, settings))
        taken[SAMPLE].append(run_peer("sklearn", "deep_cem_sklearn", seed, arguments.seconds))
        print({way: round(rows[-1]["seconds"], 2) for way, rows in taken.items()}, flush=True)
    sample = median(row["seconds"] for row in taken[SAMPLE])
    summary = []
    for way, rows in taken.items():
        row: dict[str, Any] = {"way": way, "solved": sum(each["solved"] for each in rows), "seeds": len(rows)}
        row |= {key: median(each[key] for each in rows) for key in ("iterations", "steps")}
        seconds = median(each["seconds"] for each in rows)
        row |= {"seconds": round(seconds, 3), "worst": round(max(each["seconds"] for each in rows), 3)}
        row |= {"sample / ours": round(sample / seconds, 1)} if way != SAMPLE else {}
        summary.append(row | ({"reached": seconds <= SECONDS and sample / seconds >= RATIO} if way != SAMPLE else {}))
        print(summary[-1], flush=True)
    head = {**describe(), "peers": versions(), "goals": {"seconds": SECONDS, "sample / ours": RATIO}}
    arguments.out.write_text(json.dumps({**head, "rows": summary, "seeds": taken}, indent=2) + "\n")


if __name__ == "__main__":
    main()
