"""Dense noise against noise of low rank, from narrow to wide networks: NES with an MLP of two hidden layers.

For each environment, width and kind of noise some seeds, each with the same env steps: the final held-out score, the
rate, and what the slower one had reached when the faster one was done.

python experiments/low_rank.py run --env CartPole-v1 --widths 16 64 256 --seeds 5
python experiments/low_rank.py table
"""

import argparse
import json
import tempfile
from itertools import accumulate
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from benchmarks.machine import describe

import torchpolicy as tp
from torchpolicy.summary import iqm, iqm_interval

RESULTS = Path(__file__).parent / "results" / "low_rank"

SETTINGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"total_steps": 300_000},
    "LunarLanderContinuous-v3": {"total_steps": 1_000_000, "normalize_observations": True, "population": 100},
    "HalfCheetah-v5": {"total_steps": 2_000_000, "normalize_observations": True, "population": 100},
}

NOISE: dict[str, int | None] = {"dense": None, "rank 1": 1}


COARSE = 10
"""Points of a curve, from which on it says something of a time."""


def run(env: str, width: int, rank: int | None, seed: int) -> dict[str, Any]:
    """A row, with the curve of the center's held-out scores: (env steps, seconds of training, score)."""
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "nes",
            policy_args={"hidden": (width, width)},
            noise_rank=rank,
            seed=seed,
            preset=False,
            target=None,
            eval_every=5,
            eval_episodes=50,
            log_dir=folder,
            **SETTINGS[env],
        )
    rows, last = result.metrics, result.metrics[-1]
    seconds = list(accumulate(sum(row[f"time/{part}_s"] for part in ("ask", "rollout", "update")) for row in rows))
    curve = [
        (row["rollout/env_steps"], round(spent, 2), round(row["eval/mean_reward"], 2))
        for row, spent in zip(rows, seconds, strict=True)
        if "eval/mean_reward" in row
    ]
    training = seconds[-1] - seconds[0]
    steps = last["rollout/env_steps"] - rows[0]["rollout/env_steps"]
    return {
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
    """The last score of a curve by then; NaN before the first."""
    scores = [score for _, elapsed, score in curve if elapsed <= seconds]
    return scores[-1] if scores else float("nan")


def table() -> None:
    """Print what is in the results, for the README."""
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        print(f"\n**{content['env']}**, {content['total_steps']:,} env steps, commit {content['commit']}\n")
        print(
            "| width | parameters | noise | seeds | score (95 % interval) | env steps/s | at the time of rank 1's end |"
        )
        print("|---|---|---|---|---|---|---|")
        rows = content["rows"]
        for width in sorted({row["width"] for row in rows}):
            end = median(row["curve"][-1][1] for row in rows if (row["width"], row["noise"]) == (width, "rank 1"))
            for noise in NOISE:
                mine = [row for row in rows if (row["width"], row["noise"]) == (width, noise)]
                scores = torch.tensor([row["mean"] for row in mine]).numpy()
                low, high = iqm_interval(scores)
                cells = [f"{width:,}", f"{mine[0]['parameters']:,}", noise, str(len(mine))]
                cells += [
                    f"{iqm(scores):.1f} ({low:.1f} to {high:.1f})",
                    f"{median(r['env steps/s'] for r in mine):,.0f}",
                ]
                scored = [at(row["curve"], end) for row in mine if len(row["curve"]) >= COARSE]
                cells += [f"{mean(scored):.1f}" if scored else ""]
                print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    runs = commands.add_parser("run")
    runs.add_argument("--env", choices=SETTINGS, required=True)
    runs.add_argument("--widths", type=int, nargs="+", default=[16, 64, 256, 1024])
    runs.add_argument("--seeds", type=int, default=5)
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {**describe(), "env": arguments.env, **SETTINGS[arguments.env], "rows": []}
    for width in arguments.widths:
        for seed in range(arguments.seeds):
            for rank in NOISE.values():
                content["rows"].append(run(arguments.env, width, rank, seed))
                shown = {name: value for name, value in content["rows"][-1].items() if name != "curve"}
                print(shown, flush=True)
                (RESULTS / f"{arguments.env}.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
