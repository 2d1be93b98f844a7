"""Time and memory for asking and telling a million weights with noise of rank 1 and 256 candidates; one thread.

The network is 17-980-980-6. Memory is the peak of a new process minus its memory after a first generation, when the
search and its optimizer have their vectors, in units of a dense population's P D 4 bytes. The script also measures the
peak of a whole run with ten million weights: three generations of NES on CartPole-v1.

python experiments/benchmarks/low_rank.py
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ask_tell import memory, seconds
from gymnasium.spaces import Box
from machine import describe

import torchpolicy as tp
from torchpolicy.base.discovery import entry
from torchpolicy.search.base import Search

SEARCHES = ("nes", "pgpe", "ars")
POPULATION, HIDDEN = 256, (980, 980)
SECONDS, MEMORY = 0.1, 0.05
"""The goals."""


def make(name: str) -> Search:
    """A search over a million weights."""
    policy = tp.MLPPolicy(Box(-1, 1, (17,)), Box(-1, 1, (6,)), hidden=HIDDEN)
    vector = tp.ParamVector(policy.net)
    settings = {"population": POPULATION, "std": 0.02, "slices": vector.slices, "noise_rank": 1}
    return entry("search", name, Search)(vector.read(), **settings)  # type: ignore[arg-type, type-abstract]


def measure(name: str, repeats: int) -> dict[str, float]:
    """Seconds for asking and for telling."""
    search = make(name)
    scores = torch.randn(POPULATION, generator=torch.Generator().manual_seed(0))
    ask, tell = [], []
    for _ in range(repeats + 1):
        ask.append(seconds(search.ask))
        candidates = search.ask()
        tell.append(seconds(lambda candidates=candidates: search.tell(candidates, scores)))
    return {"weights": search.dim, "ask": median(ask[1:]), "tell": median(tell[1:])}


def peak(name: str) -> float:
    """Memory that three generations take beyond the search itself, in this process, in units of a dense population."""
    search = make(name)
    scores = torch.randn(POPULATION)
    search.tell(search.ask(), scores)  # its optimizer has its vectors now
    before = memory("VmRSS")
    for _ in range(3):
        search.tell(search.ask(), scores)
    return float(max(0, memory("VmHWM") - before) / (POPULATION * search.dim * 4))


def whole_run() -> dict[str, Any]:
    """Peak memory of a process that runs three generations with ten million weights."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "nes", "--env", "CartPole-v1", "--hidden", "3150", "3150", "--noise-rank", "1"]
        words += ["--generations", "3", "--eval-episodes", "5", "--run-dir", folder]
        subprocess.run([sys.executable, "-m", "torchpolicy", *words], check=True, capture_output=True)
        weights = tp.ParamVector(tp.load(folder).net).dim
    return {"weights": weights, "peak, GB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2)}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "low_rank.json")
    parser.add_argument("--memory", help=argparse.SUPPRESS)  # a search
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory:
        print(peak(arguments.memory))
        return
    whole = whole_run()
    print(whole, flush=True)
    rows = []
    for name in SEARCHES:
        row = measure(name, arguments.repeats)
        words = [sys.executable, __file__, "--memory", name]
        share = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        reached = row["ask"] + row["tell"] <= SECONDS and share <= MEMORY
        rows.append({"search": name, **row, "memory": round(share, 4), "reached": reached})
        print(rows[-1], flush=True)
    goals = {"ask + tell, seconds": SECONDS, "memory, dense populations": MEMORY}
    arguments.out.write_text(
        json.dumps({**describe(), "goals": goals, "whole_run": whole, "rows": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
