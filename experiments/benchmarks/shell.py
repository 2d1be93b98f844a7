"""Time from the shell to a solved, evaluated and saved policy, and time that is not spent on playing or updating.

The first benchmark runs `torchpolicy train cem --env CartPole-v1`, each seed in a new process, in turns with
`import torch` alone. The second runs CEM on Pendulum-v1 through Gymnasium with an MLP of 64-64, with generations of
about 0.1 s and of about a second. It takes their whole time minus that of playing and of the search itself; the rest is
logging, checkpoints, pictures and bookkeeping.

python experiments/benchmarks/shell.py
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

import torch
from machine import describe

import torchpolicy as tp

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from cem_cartpole import run

SECONDS, SHARE = 5.0, 0.03
"""The goals."""


def imports() -> float:
    """Seconds of `import torch` in a new process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - begin


def share(generations: int, population: int) -> dict[str, Any]:
    """Share of a run's time that is not spent on playing or updating, the first generation left out."""
    with tempfile.TemporaryDirectory() as folder:
        rows = tp.train(
            "Pendulum-v1",
            "cem",
            backend="gymnasium",
            policy_args={"hidden": (64, 64)},
            population=population,
            generations=generations,
            target=None,
            eval_every=10 * generations,
            eval_episodes=1,
            preset=False,
            log_dir=folder,
        ).metrics
    whole = rows[-1]["time/elapsed"] - rows[0]["time/elapsed"]
    work = sum(row[f"time/{part}_s"] for row in rows[1:] for part in ("ask", "rollout", "update"))
    return {
        "generations": generations,
        "population": population,
        "seconds a generation": round(whole / (generations - 1), 3),
        "share": round(1 - work / whole, 5),
        "reached": 1 - work / whole <= SHARE,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10, help="number of seeds")
    parser.add_argument(
        "--minute", type=float, default=60, help="about how many seconds a run of the second benchmark takes"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "shell.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        imports()  # warm the disk
        for seed in range(arguments.repeats):
            rows.append({"import torch": round(imports(), 2), **run(seed, folder)})
            print(rows[-1], flush=True)
    seconds = [row["seconds"] for row in rows]
    train = {
        "median seconds": median(seconds),
        "worst seconds": max(seconds),
        "import torch": median(row["import torch"] for row in rows),
        "solved": sum(row["mean"] >= 475 for row in rows),
        "seeds": len(rows),
        "reached": median(seconds) <= SECONDS,
    }
    print(train, flush=True)
    beside = []
    for population, generation in ((40, 0.1), (320, 0.8)):
        beside.append(share(round(arguments.minute / generation), population))
        print(beside[-1], flush=True)
    results = {"goals": {"seconds": SECONDS, "share": SHARE}, "train": train, "beside": beside, "rows": rows}
    arguments.out.write_text(json.dumps({**describe(), **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
