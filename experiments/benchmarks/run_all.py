"""All benchmarks, one after another, then the tables of README.md; some hours on two cores that do nothing else.

python experiments/benchmarks/run_all.py
"""

import subprocess
import sys
from pathlib import Path

SCRIPTS = (
    *("peers.py", "cartpole.py", "cartpole.py --plot", "simulators.py", "slots.py", "shell.py", "ask_tell.py"),
    *("deep_cem.py", "population_forward.py", "low_rank.py", "gymnasium_stepping.py", "processes.py", "checkpoints.py"),
    "tables.py",
)


def main() -> None:
    """Run them; one that fails does not keep the others from running."""
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
