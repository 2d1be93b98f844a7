"""Ten seeds of CEM with its preset on CartPole-v1, started from the shell; policies are scored from their files.

python experiments/cem_cartpole.py
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import describe


def run(seed: int, folder: str) -> dict[str, Any]:
    """One run as a user would start it. Its seconds include the start of the interpreter, and imports."""
    command = [sys.executable, "-m", "torchpolicy"]
    run_dir = f"{folder}/s{seed}"
    begin = time.monotonic()
    subprocess.run(
        [*command, "train", "cem", "--env", "CartPole-v1", "--seed", str(seed), "--run-dir", run_dir],
        check=True,
        capture_output=True,
    )
    seconds = time.monotonic() - begin
    scored = subprocess.run(
        [*command, "eval", run_dir, "--episodes", "100", "--seed", "12345", "--json"], check=True, capture_output=True
    )
    score = json.loads(scored.stdout)
    last = json.loads((Path(run_dir) / "metrics.jsonl").read_text().splitlines()[-1])
    return {
        "seed": seed,
        "mean": score["mean"],
        "ci": score["ci"],
        "generations": last["generation"],
        "env_steps": last["rollout/env_steps"],
        "seconds": round(seconds, 2),
    }


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "cem_cartpole.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for seed in range(arguments.seeds):
            rows.append(run(seed, folder))
            print(rows[-1], flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
