"""Asking and telling at size, a million weights and a population of 256, against drawing the noise alone; one thread.

python experiments/benchmarks/ask_tell.py
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from machine import describe

from torchpolicy.catalog import entry
from torchpolicy.search.base import Search

SEARCHES = ("snes", "pgpe", "nes", "ars", "cem")


def seconds(work: Callable[[], object]) -> float:
    """Of one call; what it returns is freed after the clock stops."""
    begin = time.perf_counter()
    result = work()
    end = time.perf_counter()
    del result
    return end - begin


def measure(name: str, dim: int, population: int, repeats: int) -> dict[str, Any]:
    """Drawing, asking and telling in turns."""
    search = entry("search", name, Search)(torch.zeros(dim), population=population)  # type: ignore[type-abstract]
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(population, generator=generator)
    noise, ask, tell = [], [], []
    for _ in range(repeats):
        noise.append(seconds(lambda: torch.randn(population, dim, generator=generator)))
        ask.append(seconds(search.ask))
        candidates = search.ask()
        tell.append(seconds(lambda candidates=candidates: search.tell(candidates, scores)))  # type: ignore[misc]
        del candidates
    row = {"search": name, "noise": median(noise), "ask": median(ask), "tell": median(tell)}
    return row | {"ratio": median((a + t) / n for n, a, t in zip(noise, ask, tell, strict=True))}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dim", type=int, default=1_000_000)
    parser.add_argument("--population", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ask_tell.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in SEARCHES:
        rows.append(measure(name, arguments.dim, arguments.population, arguments.repeats))
        print(rows[-1], flush=True)
    sizes = {"dim": arguments.dim, "population": arguments.population}
    arguments.out.write_text(json.dumps({**describe(), **sizes, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
