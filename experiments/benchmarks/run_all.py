"""Runs all benchmarks, one after another, and then writes the tables of README.md; takes some hours on two idle cores.

python experiments/benchmarks/run_all.py
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    *("peers.py", "cartpole.py", "cartpole.py --plot", "simulators.py", "slots.py", "shell.py", "ask_tell.py"),
    *(
        "deep_cem.py",
        "population_forward.py",
        "low_rank.py",
        "gymnasium_stepping.py",
        "mujoco_slots.py",
        "processes.py",
        "checkpoints.py",
    ),
    "tables.py",
)


def main() -> None:
    """Run all benchmarks. If one fails, the others are still run."""
    failed = []
    for line in SCRIPTS:
        script, *options = line.split()
        print(f"== {line}", flush=True)
        if subprocess.run([sys.executable, str(Path(__file__).parent / script), *options], check=False).returncode:
            failed.append(line)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
