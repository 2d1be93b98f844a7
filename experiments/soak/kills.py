"""Kill a run at random moments, in random ways, until it ends; then compare it with one that was never touched.

In every cycle a process of the run is killed with SIGKILL. If it is the launcher, `resume` is typed with another number
of processes. If it is a worker, nothing is typed, because the run has to go on by itself.

    python experiments/soak/kills.py --kills 20
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.machine import describe

COMMAND = [sys.executable, "-m", "torchpolicy"]
RUNS = {
    "CartPole-v1": (20, ["--population", "61"]),
    "LunarLander-v3": (18, ["--population", "50", "--hidden", "16", "--max-episode-steps", "200"]),
}
"""Generations for each kill, enough for the run to outlive them all, and other options, by environment."""


def facts(run_dir: Path) -> str:
    """A hash of the final weights' bits, and of all metrics except times."""
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    rows = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]
    weights = (run_dir / "policy" / "weights.safetensors").read_bytes()
    return hashlib.sha256(weights + json.dumps(rows).encode()).hexdigest()


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def soak(env: str, kills: int, rng: random.Random, folder: Path) -> dict[str, Any]:
    """One run that is killed `kills` times."""
    generations, options = RUNS[env][0] * kills, RUNS[env][1]
    train = [*COMMAND, "train", "cem", "--env", env, *options, "--generations", str(generations)]
    train += ["--seed", str(rng.randrange(1000))]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    begin = time.monotonic()
    subprocess.run([*train, "--run-dir", str(folder / "whole")], check=True, **quiet)
    seconds = time.monotonic() - begin
    killed = {"launcher": 0, "worker": 0}
    run_dir = folder / "killed"
    process = subprocess.Popen([*train, "--run-dir", str(run_dir), "--checkpoint-seconds", "0"], **quiet)
    while process.poll() is None or process.returncode != 0:
        if process.poll() is not None:
            again = [*COMMAND, "resume", str(run_dir), "--workers", str(rng.choice([1, 2, 3]))]
            process = subprocess.Popen(again if (run_dir / "config.json").exists() else train, **quiet)
        if sum(killed.values()) >= kills:
            process.wait()
            continue
        time.sleep(2 + rng.random() * 3)  # imports take about two
        workers = children(process.pid)
        if process.poll() is None:
            victim = rng.choice([process.pid, *workers])
            killed["launcher" if victim == process.pid else "worker"] += 1
            os.kill(victim, signal.SIGKILL)
            if victim == process.pid:
                process.wait()
    same = facts(folder / "whole") == facts(run_dir)
    return {
        "env": env,
        "generations": generations,
        "killed": killed,
        "untouched_seconds": round(seconds, 1),
        "same": same,
    }


def main() -> None:
    """Soak, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", nargs="+", choices=list(RUNS), default=list(RUNS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "kills.json")
    arguments = parser.parse_args()
    rng, rows = random.Random(arguments.seed), []
    for env in arguments.envs:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(soak(env, arguments.kills, rng, Path(folder)))
            print(rows[-1], flush=True)
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n")
    sys.exit(0 if all(row["same"] for row in rows) else 1)


if __name__ == "__main__":
    main()
