"""What searches reach without any tuning: one setting for ten environments, no presets, ten seeds.

Every run is that of one command, ``torchpolicy train ALGORITHM --env ENV --no-preset --normalize-observations --hidden
64 64``; only the budget of steps depends on the environment. A run ends when its held-out score has reached the
environment's threshold on two sets of episodes. It counts as solved if its final test, on other episodes, is there too.

python experiments/untuned.py run snes --env Acrobot-v1 --jobs 2   adds the rows that are not there yet
python experiments/untuned.py table                                prints the table of all that lies there
"""

import argparse
import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "untuned"

ENVS = {
    "CartPole-v1": (475.0, 1_000_000),
    "Acrobot-v1": (-100.0, 2_000_000),
    "MountainCar-v0": (-110.0, 2_000_000),
    "MountainCarContinuous-v0": (90.0, 2_000_000),
    "Pendulum-v1": (-200.0, 4_000_000),
    "LunarLander-v3": (200.0, 2_000_000),
    "LunarLanderContinuous-v3": (200.0, 2_000_000),
    "Swimmer-v5": (300.0, 3_000_000),
    "Hopper-v5": (2000.0, 4_000_000),
    "HalfCheetah-v5": (2000.0, 4_000_000),
}
"""Threshold and budget of environment steps."""

VARIANTS: dict[str, dict[str, Any]] = {
    "snes": {"algorithm": "snes"},
    "snes_episodes": {"algorithm": "snes", "episodes": "auto"},
    "snes_restarts": {"algorithm": "snes", "episodes": "auto", "restarts": True},
    "nes": {"algorithm": "nes"},
    "pgpe": {"algorithm": "pgpe"},
}
"""Arguments of each variant."""

POLICIES: dict[str, dict[str, Any]] = {"mlp": {"policy_args": {"hidden": [64, 64]}}, "linear": {}}


def run(variant: str, policy: str, env: str, seed: int) -> dict[str, Any]:
    """One run, as a row of the results. Seconds are processor time, because machines are shared."""
    threshold, budget = ENVS[env]
    processor = time.process_time()
    settings = POLICIES[policy] | VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            seed=seed,
            preset=False,
            normalize_observations=True,
            target=threshold,
            total_steps=budget,
            eval_episodes=40,
            log_dir=folder,
            **settings,
        )
    curve = [
        (row["rollout/env_steps"], round(row["eval/mean_reward"], 2))
        for row in result.metrics
        if "eval/mean_reward" in row
    ]
    return {
        **{name: describe()[name] for name in ("commit", "date")},
        "variant": variant,
        "policy": policy,
        "env": env,
        "seed": seed,
        "mean": result.evaluation.mean,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "env_steps_to_threshold": next((steps for steps, score in curve if score >= threshold), None),
        "curve": curve[:: max(1, len(curve) // 50)],
        "seconds": round(time.process_time() - processor, 1),
    }


def path_of(variant: str, policy: str) -> Path:
    """The file of a variant's results with a policy."""
    return RESULTS / f"{variant}-{policy}.json"


def rows_of(variant: str, policy: str) -> list[dict[str, Any]]:
    """The rows that have been measured."""
    path = path_of(variant, policy)
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def fill(variant: str, policy: str, envs: list[str], seeds: list[int], jobs: int) -> None:
    """Run the missing rows, seed by seed, and save each row when it is finished."""
    rows = rows_of(variant, policy)
    there = {(row["env"], row["seed"]) for row in rows}
    missing = [(env, seed) for seed in seeds for env in envs if (env, seed) not in there]
    RESULTS.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, variant, policy, *each) for each in missing]):
            rows.append(done.result())
            content = {**describe(), "runs_at_a_time": jobs}
            content |= {"rows": sorted(rows, key=lambda row: (row["env"], row["seed"]))}
            path_of(variant, policy).write_text(json.dumps(content) + "\n")
            print({name: value for name, value in rows[-1].items() if name != "curve"}, flush=True)


def table() -> None:
    """A Markdown table: seeds that solved each environment, and the median of the steps to its threshold."""
    for policy in POLICIES:
        variants = [name for name in VARIANTS if path_of(name, policy).exists()]
        if not variants:
            continue
        print(f"\n**{policy}**: solved seeds, median of steps to the threshold in thousands, median score\n")
        print(f"| environment | threshold | {' | '.join(variants)} |\n|{'---|' * (len(variants) + 2)}")
        for env, (threshold, _) in ENVS.items():
            cells = [_cell([row for row in rows_of(name, policy) if row["env"] == env], threshold) for name in variants]
            if any(cells):
                print(f"| {env} | {threshold:g} | {' | '.join(cells)} |")


def _cell(rows: list[dict[str, Any]], threshold: float) -> str:
    """The cell of a variant and an environment."""
    if not rows:
        return ""
    solved = sum(row["mean"] >= threshold for row in rows)
    steps = float(np.median([row["env_steps_to_threshold"] or np.inf for row in rows]))
    shown = f"{steps / 1e3:,.0f}k" if np.isfinite(steps) else "-"
    return f"{solved} of {len(rows)}, {shown}, {np.median([row['mean'] for row in rows]):.0f}"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("variant", choices=VARIANTS)
    running.add_argument("--policy", choices=POLICIES, default="mlp")
    running.add_argument("--env", nargs="+", choices=ENVS, default=list(ENVS))
    running.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    fill(arguments.variant, arguments.policy, arguments.env, arguments.seeds, arguments.jobs)


if __name__ == "__main__":
    main()
