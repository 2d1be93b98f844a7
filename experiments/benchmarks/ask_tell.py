"""Time and memory for asking and telling, from ten weights to a million, against drawing noise and against evotorch.

One thread is used. The population is 1000 for ten weights, and 256 otherwise. evotorch's CEM, SNES and PGPE step with
an objective that costs nothing; its step includes a copy of the scores and its own statistics, which are part of it.
Ours and theirs take turns, and each of theirs runs in a new process. Memory is the peak of a new process minus its
memory before the search was made, in units of the population's P D 4 bytes. It is measured where these are more than 50
MB.

python experiments/benchmarks/peers.py       makes evotorch's environment, once
python experiments/benchmarks/ask_tell.py
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe
from peers import run_peer, versions

from torchpolicy.base.discovery import entry
from torchpolicy.search.base import Search

SEARCHES = ("snes", "pgpe", "nes", "ars", "cem")
PEERS = ("cem", "snes", "pgpe")
CASES = ((10, 1000), (1000, 256), (100_000, 256), (1_000_000, 256))
"""Numbers of weights, with the population of each."""

MEASURABLE = 50_000_000
"""The smallest population, in bytes, whose memory can be told from that of the rest of the process."""


def make(name: str, dim: int, population: int) -> Search:
    """A search with its defaults."""
    return entry("search", name, Search)(torch.zeros(dim), population=population)  # type: ignore[type-abstract]


def memory(kind: str) -> int:
    """Bytes: VmRSS, what is resident now, or VmHWM, the most there was (`ru_maxrss` remembers the parent's)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{kind}:")[1].split()[0])


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call. Its result is freed after the clock has stopped."""
    begin = time.perf_counter()
    result = work()
    end = time.perf_counter()
    del result
    return end - begin


def measure(name: str, dim: int, population: int, steps: int) -> dict[str, float]:
    """Times of drawing, asking and telling, which take turns; the first of each is left out."""
    search = make(name, dim, population)
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(population, generator=generator)
    noise, ask, tell = [], [], []
    for _ in range(steps + 1):
        noise.append(seconds(lambda: torch.randn(population, dim, generator=generator)))
        ask.append(seconds(search.ask))
        candidates = search.ask()
        tell.append(seconds(lambda candidates=candidates: search.tell(candidates, scores)))  # type: ignore[misc]
        del candidates
    row = {"noise": median(noise[1:]), "ask": median(ask[1:]), "tell": median(tell[1:])}
    return row | {"ratio": median((a + t) / n for n, a, t in list(zip(noise, ask, tell, strict=True))[1:])}


def peak(name: str, dim: int, population: int) -> float:
    """Memory of three generations in this process, in units of a population."""
    torch.set_num_threads(1)
    scores = torch.randn(population)
    before = memory("VmRSS")
    search = make(name, dim, population)
    for _ in range(3):
        candidates = search.ask()
        search.tell(candidates, scores)
        del candidates
    return (memory("VmHWM") - before) / (4 * population * dim)


def compare(dim: int, population: int, repeats: int) -> list[dict[str, Any]]:
    """Measure all searches, ours and theirs in turns; returns a row of medians for each."""
    steps = 300 if dim <= 1000 else 3
    ours: dict[str, list[dict[str, float]]] = {name: [] for name in SEARCHES}
    theirs: dict[str, list[dict[str, Any]]] = {name: [] for name in PEERS}
    for _ in range(repeats):
        for name in SEARCHES:
            ours[name].append(measure(name, dim, population, steps))
            if name in PEERS:
                theirs[name].append(run_peer("evotorch", "ask_tell_evotorch", name, dim, population, steps))
    rows = []
    for name, measured in ours.items():
        row: dict[str, Any] = {"search": name, "dim": dim, "population": population}
        row |= {key: median(each[key] for each in measured) for key in measured[0]}
        large = 4 * dim * population >= MEASURABLE
        if large:
            command = [sys.executable, __file__, "--memory", name, str(dim), str(population)]
            row["memory"] = round(float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout), 2)
        if name in PEERS:
            row["evotorch"] = median(median(each["seconds"]) for each in theirs[name])
            pairs = zip(measured, theirs[name], strict=True)
            row["evotorch / ours"] = median(median(b["seconds"]) / (a["ask"] + a["tell"]) for a, b in pairs)
            if large:
                row["evotorch's memory"] = round(median(each["memory"] for each in theirs[name]), 2)
        rows.append(row)
        print(row, flush=True)
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--largest", type=int, default=1_000_000, help="the largest number of weights")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ask_tell.json")
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)  # search, weights, population
    arguments = parser.parse_args()
    if arguments.memory:
        name, dim, population = arguments.memory
        print(peak(name, int(dim), int(population)))
        return
    torch.set_num_threads(1)
    rows = []
    for dim, population in CASES:
        if dim <= arguments.largest:
            rows += compare(dim, population, arguments.repeats)
    arguments.out.write_text(json.dumps({**describe(), "peers": versions(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
