"""What stopping episodes early saves: env steps and processor seconds to a threshold, with and without ``stop_early``.

Both sides are ``torchpolicy train snes --env ENV --no-preset --normalize-observations --hidden 64 64``, the same budget
of env steps and the same seeds, which are those from 100 on. Held-out scores on the way are means of 5 episodes, the
final score is that of 30 others. Seconds are processor time of training and evaluating, because machines are shared.

python experiments/stop_early.py run --env HalfCheetah-v5   adds the rows that are not there yet
python experiments/stop_early.py table                      prints the table of all that lies there
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "stop_early.json"

ENVS = {
    "HalfCheetah-v5": (1000.0, 360_000, 1),
    "Swimmer-v5": (50.0, 240_000, 1),
    "LunarLanderContinuous-v3": (100.0, 200_000, 3),
    "LunarLander-v3": (100.0, 200_000, 3),
    "Walker2d-v5": (500.0, 100_000, 2),
    "Hopper-v5": (800.0, 100_000, 2),
}
"""Threshold, budget of env steps, and generations between held-out evaluations."""

SEEDS = list(range(100, 104))


class Clock(tp.callbacks.Callback):
    """Takes down env steps, held-out score and processor seconds at each evaluation."""

    def __init__(self) -> None:
        self.begin = time.process_time()
        self.curve: list[tuple[int, float, float]] = []

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        """Take down a generation with an evaluation."""
        if "eval/mean_reward" in metrics:
            seconds = time.process_time() - self.begin
            score = round(metrics["eval/mean_reward"], 1)
            self.curve.append((int(metrics["rollout/env_steps"]), score, round(seconds, 1)))


def run(env: str, seed: int, stop_early: bool) -> dict[str, Any]:
    """One run, as a row of the results."""
    threshold, budget, every = ENVS[env]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "snes",
            preset=False,
            normalize_observations=True,
            policy_args={"hidden": [64, 64]},
            seed=seed,
            target=None,
            total_steps=budget,
            eval_episodes=5,
            eval_every=every,
            stop_early=stop_early,
            callbacks=[clock],
            log_dir=folder,
        )
        final = result.evaluate(episodes=30, seed=1).mean
    last = result.metrics[-1]
    reached = next((point for point in clock.curve if point[1] >= threshold), (None, None, None))
    return {
        **{name: describe()[name] for name in ("commit", "date")},
        "env": env,
        "seed": seed,
        "stop_early": stop_early,
        "score": round(final, 2),
        "env_steps": last["rollout/env_steps"],
        "generations": last["generation"],
        "env_steps_to_threshold": reached[0],
        "seconds_to_threshold": reached[2],
        "stopped": round(float(np.mean([row.get("rollout/stopped", 0.0) for row in result.metrics])), 3),
        "wrongly_stopped": last.get("rollout/wrongly_stopped"),
        "curve": clock.curve,
    }


def rows() -> list[dict[str, Any]]:
    """The rows that have been measured."""
    found: list[dict[str, Any]] = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    return found


def fill(envs: list[str], seeds: list[int]) -> None:
    """Run the missing rows, one at a time, and save each when it is finished."""
    done = rows()
    there = {(row["env"], row["seed"], row["stop_early"]) for row in done}
    missing = [(env, seed, early) for env in envs for seed in seeds for early in (False, True)]
    for each in missing:
        if each in there:
            continue
        done.append(run(*each))
        order = sorted(done, key=lambda row: (list(ENVS).index(row["env"]), row["seed"], row["stop_early"]))
        RESULTS.write_text(json.dumps({**describe(), "rows": order}) + "\n")
        print({name: value for name, value in done[-1].items() if name != "curve"}, flush=True)


def table() -> None:
    """A Markdown table: medians over the seeds that have both sides, and then the steps of each seed."""
    heads = ("environment", "threshold", "stop_early", "reached", "env steps to it", "CPU s to it", "score", "stopped")
    print(f"| {' | '.join([*heads, 'wrongly'])} |\n|{'---|' * (len(heads) + 1)}")
    found = rows()
    for env, (threshold, budget, _) in ENVS.items():
        there = {(row["seed"], row["stop_early"]): row for row in found if row["env"] == env}
        seeds = sorted(seed for seed, early in there if early and (seed, False) in there)
        for early in (False, True):
            if seeds:
                cells = _cells([there[seed, early] for seed in seeds])
                print(f"| {env}, {budget / 1e3:.0f}k | {threshold:g} | {'yes' if early else 'no'} | {cells} |")
    print()
    for row in found:
        side = "stop_early" if row["stop_early"] else "plain"
        per = row["env_steps"] / row["generations"]
        reached = row["env_steps_to_threshold"]
        print(f"{row['env']} {row['seed']} {side}: {per:,.0f} steps a generation, {reached} to it, {row['score']:.0f}")


def _cells(chosen: list[dict[str, Any]]) -> str:
    """Seeds that reached the threshold, medians of steps and seconds to it, median and range of the score, stops."""
    reached = [row for row in chosen if row["env_steps_to_threshold"]]
    steps = float(np.median([row["env_steps_to_threshold"] or np.inf for row in chosen]))
    seconds = float(np.median([row["seconds_to_threshold"] or np.inf for row in chosen]))
    scores = [row["score"] for row in chosen]
    shown = (f"{steps / 1e3:,.0f}k", f"{seconds:.1f}") if np.isfinite(steps) else ("-", "-")
    score = f"{np.median(scores):.0f} ({min(scores):.0f} to {max(scores):.0f})"
    wrong = [row["wrongly_stopped"] for row in chosen if row["wrongly_stopped"] is not None]
    stops = f"{np.mean([row['stopped'] for row in chosen]):.0%} | {np.mean(wrong):.0%}" if wrong else " | "
    return f"{len(reached)} of {len(chosen)} | {shown[0]} | {shown[1]} | {score} | {stops}"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--env", nargs="+", choices=ENVS, default=list(ENVS))
    running.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    fill(arguments.env, arguments.seeds)


if __name__ == "__main__":
    main()
