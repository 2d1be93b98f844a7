"""Seconds of wall-clock time and env steps until the held-out mean of 100 episodes passes a threshold, on two cores.

Everyone starts from the shell of its own Python. Ours is ``torchpolicy train ALGO --env ENV --workers 2 --target
THRESHOLD``, with its preset, and with its preset for a network; its time is that of the whole command, with its
evaluations, the final test and saving, and it stops only where two sets of 100 episodes are surely above the threshold.
The others are evotorch's PGPE (its examples' settings, with two Ray actors and with VecGymNE), sb3-contrib's ARS and
stable-baselines3's PPO, with the hyperparameters of RL Baselines3 Zoo; their clock stands still while they are tested,
which is in their favour. A run ends after 20 minutes, or --limit.

python experiments/benchmarks/peers.py                           makes the others' environments, once
python experiments/benchmarks/time_to_threshold.py --seeds 0 1 2 runs what is missing, on an idle machine
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from machine import describe
from peers import run_peer, versions

THRESHOLDS = {
    "CartPole-v1": 475.0,
    "Acrobot-v1": -100.0,
    "LunarLander-v3": 200.0,
    "LunarLanderContinuous-v3": 200.0,
    "Swimmer-v5": 300.0,
    "Hopper-v5": 2000.0,
    "HalfCheetah-v5": 2000.0,
}
OURS = {"ours": [], "ours, MLP 64-64": ["--hidden", "64", "64"]}
ALGORITHM = "snes"
PEERS = {
    "evotorch, 2 actors": ("evotorch", "threshold_evotorch", "gym"),
    "evotorch, VecGymNE": ("evotorch", "threshold_evotorch", "vec"),
    "sb3-contrib ARS": ("sb3", "threshold_sb3", "ars"),
    "sb3 PPO": ("sb3", "threshold_sb3", "ppo"),
}


def ours(env: str, threshold: float, limit: float, seed: int, options: list[str]) -> dict[str, Any]:
    """A command of ours, until it has ended."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torchpolicy", "train", ALGORITHM, "--env", env, "--workers", "2"]
        command += ["--eval-episodes", "100", "--target", str(threshold), "--seconds", str(limit)]
        command += ["--seed", str(seed), "--run-dir", folder]
        begin = time.time()
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        seconds = time.time() - begin
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
        last = json.loads((Path(folder) / "metrics.jsonl").read_text().splitlines()[-1])
    arrived = seconds < limit and last.get("eval/mean_reward", -float("inf")) >= threshold
    return {"seconds": seconds, "steps": last["rollout/env_steps"], "arrived": arrived}


def measure(who: str, env: str, limit: float, seed: int) -> dict[str, Any]:
    """One run, as a row."""
    threshold = THRESHOLDS[env]
    if who in OURS:
        answer = ours(env, threshold, limit, seed, OURS[who])
    else:
        peer, script, kind = PEERS[who]
        answer = run_peer(peer, script, kind, env, threshold, limit, time.time(), seed)
    answer["seconds"] = round(answer["seconds"], 1)
    return {"env": env, "who": who, "seed": seed, **answer, "limit": limit, "commit": describe()["commit"]}


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The table: medians (and the worst) of the seconds and the medians of steps in thousands, of those that arrive."""
    table = []
    for env, threshold in THRESHOLDS.items():
        line: dict[str, Any] = {"env": env, "threshold": threshold}
        for who in (*OURS, *PEERS):
            mine = [row for row in rows if (row["env"], row["who"]) == (env, who)]
            times = [row["seconds"] if row["arrived"] else float("inf") for row in mine]
            line[who] = "" if not mine else _cell(times, [row["steps"] for row in mine], max(r["limit"] for r in mine))
        table.append(line)
    return table


def _cell(times: list[float], steps: list[int], limit: float) -> str:
    arrived = [each for each in times if each < float("inf")]
    if len(arrived) * 2 <= len(times):
        return f"not reached in {limit:.0f} s ({len(arrived)} of {len(times)})"
    worst = f"{max(times):.0f}" if len(arrived) == len(times) else "not reached"
    spread = f" (worst {worst})" if len(times) > 1 else ""
    return f"{median(times):.0f} s{spread}, {median(steps) / 1e3:,.0f}k steps"


def main() -> None:
    """Measure what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", choices=THRESHOLDS, default=list(THRESHOLDS))
    parser.add_argument("--who", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--limit", type=float, default=1200.0, help="the most seconds of a run")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "time_to_threshold.json")
    arguments = parser.parse_args()
    rows = json.loads(arguments.out.read_text())["runs"] if arguments.out.exists() else []
    for seed in arguments.seeds:
        for env in arguments.env:
            for who in arguments.who:
                if any((row["env"], row["who"], row["seed"]) == (env, who, seed) for row in rows):
                    continue
                rows.append(measure(who, env, arguments.limit, seed))
                print(rows[-1], flush=True)
                content = {**describe(), "peers": versions(), "rows": summary(rows), "runs": rows}
                arguments.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
