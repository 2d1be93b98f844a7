"""Seconds of a generation of two processes on two hosts, by the delay of the link between them.

The hosts are network namespaces of this machine (root is needed); this script is the link, and holds every packet back.
An episode sleeps, so that a generation takes half a second without any delay. Runs with and without a delay alternate.
The first generations, most of which have a glance at the center besides, are measured apart from later ones.

    python experiments/benchmarks/latency.py
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(1, str(Path(__file__).parents[1]))
from benchmarks.machine import describe
from hosts import PAUSE, Network  # type: ignore[import-not-found]
from slow_link import Link  # type: ignore[import-not-found]

ROOT = Path(__file__).parents[2]

EVERY = 1000
"""Generations between held-out evaluations: none in between is wanted."""

FIRST = 40
"""Generations that count as the first ones."""


def measure(delay: float, generations: int, population: int, pause: float) -> tuple[float, float]:
    """Seconds of a generation in one run: the median of the first ones, and the mean of the later ones."""
    with tempfile.TemporaryDirectory() as name, Network() as network:
        folder = Path(name)
        Link(network, delay).start()
        train = ["train", "cem", "--env", "hosts:Slow", "--population", str(population), "--target", "none"]
        train += ["--generations", str(generations), "--eval-episodes", "2", "--eval-every", str(EVERY)]
        train += ["--run-dir", str(folder / "run"), "--checkpoint-seconds", "1000"]
        command = [sys.executable, "-m", "torchpolicy", "launch", "--first", "a", "--hosts", "2", *train]
        processes = [network.start(host, command, folder / f"{host}.log", **{PAUSE: str(pause)}) for host in "ab"]
        for process in processes:
            if process.wait(600):
                raise RuntimeError((folder / "a.log").read_text() + (folder / "b.log").read_text())
        rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    elapsed = [float(row["time/elapsed"]) for row in rows[3:-1]]
    seconds = [later - before for before, later in itertools.pairwise(elapsed)]
    return statistics.median(seconds[:FIRST]), statistics.mean(seconds[FIRST:])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0, 0.05])
    parser.add_argument("--generations", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latency.json")
    arguments = parser.parse_args()
    os.environ |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    machine, rows = describe(), []
    for population, pause in ((40, 0.025), (400, 0.0025)):
        found: dict[float, list[tuple[float, float]]] = {delay: [] for delay in arguments.delays}
        for _ in range(arguments.repeats):
            for delay, each in found.items():
                each.append(measure(delay, arguments.generations, population, pause))
        none: list[float] = []
        for delay, each in found.items():
            seconds = [statistics.median(part) for part in zip(*each, strict=True)]
            none = none or seconds
            for part, now, before in zip(("first", "later"), seconds, none, strict=True):
                about = {"population": population, "one_way": delay, "generations": part}
                rows.append({**about, "seconds": round(now, 4), "longer": round(now / before - 1, 3)})
                print(
                    f"{population} episodes, {delay:.3f} s each way, {part} generations: {now:.3f} s, "
                    f"{now / before - 1:.0%} longer",
                    flush=True,
                )
    arguments.out.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
