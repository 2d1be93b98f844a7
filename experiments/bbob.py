"""Black-box functions of BBOB: evaluations until a search is near the optimum, ours beside those of other libraries.

All searches start in the same places with a std of 2. None is tuned; ``snes-auto`` and its like have a learning rate
that follows the signal, and ``cmaes-restarts`` begins again where it stalls, for which it has eight times the budget.

ERT, the expected running time to a target, is the number of evaluations in all runs, those that fail included, over the
number of runs that reach the target. A run ends at the last target, at its budget, or, without restarts, when nothing
better was found for a tenth of its budget.

python experiments/benchmarks/peers.py                 makes the other libraries' environments, once
python experiments/bbob.py run --searches cmaes pycma --dims 10 --instances 15
                                                       adds the rows that are not there yet, results/bbob/<search>.json
python experiments/bbob.py table                       prints the tables of all that lies there
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import describe
from benchmarks.peer_scripts.bbob_functions import NAMES, TARGETS, Run, make_problem, start_of
from benchmarks.peers import run_peer, versions

from torchpolicy.base.discovery import entry
from torchpolicy.search.base import Search
from torchpolicy.search.restarts import Restarts

RESULTS = Path(__file__).parent / "results" / "bbob"
OURS = (
    *("cmaes", "cmaes-restarts", "sepcma", "xnes", "xnes-auto", "snes", "snes-auto"),
    *("cem", "pgpe", "pgpe-auto", "nes", "nes-auto", "ars"),
)
PEERS = {
    **dict.fromkeys(("pycma", "pycma-diagonal", "cmaes-library", "cmaes-separable"), "cmaes"),
    **dict.fromkeys((f"evotorch-{name}" for name in ("xnes", "snes", "cem", "pgpe")), "evotorch"),
}
"""Searches of other libraries, and the environment that each runs in."""

REFERENCES = {"cmaes": ("pycma", "cmaes-library"), "sepcma": ("pycma-diagonal", "cmaes-separable")}
BUDGETS = {10: 30_000, 40: 100_000}
"""The most evaluations of a run, by the number of dimensions."""

MORE = 8
"""Times as many evaluations of a search with restarts."""


def solve(name: str, function: int, dim: int, instances: int, budget: int) -> list[dict[str, Any]]:
    """Runs of one of our searches, with its defaults, on float64 centers."""
    rows = []
    for instance in range(instances):
        patience = 1.0 if name.endswith("-restarts") else 0.1  # which find out themselves that they stall
        run = Run(make_problem(function, dim, instance), budget, patience)
        start = torch.as_tensor(start_of(dim, instance))
        search = make(name, start, instance)
        while not run.over:
            candidates: Any = search.ask()
            search.tell(candidates, torch.as_tensor(run(candidates.numpy())))
        rows.append(run.row(instance))
    return rows


def make(name: str, start: Any, seed: int) -> Search:
    """One of our searches, or its variant after a hyphen."""
    plain, _, variant = name.partition("-")
    settings: dict[str, Any] = {"learning_rate": "auto"} if variant == "auto" else {}
    kind: Any = entry("search", plain, Search)
    kind = partial(kind, std=2.0, maximize=False, **settings)
    if variant == "restarts":
        return Restarts(kind, start, seed=seed)
    search: Search = kind(start, seed=seed)
    return search


def measure(name: str, function: int, dim: int, instances: int) -> dict[str, Any]:
    """All runs of a search on a function, as a row of the results."""
    budget = BUDGETS[dim] * (MORE if name.endswith("-restarts") else 1)
    if name in OURS:
        runs = solve(name, function, dim, instances, budget)
    else:
        peer = PEERS[name]
        runs = run_peer(peer, f"bbob_{peer}", name, function, dim, instances, budget)["runs"]
    head = {key: describe()[key] for key in ("commit", "date")}
    return {**head, "function": function, "dim": dim, "budget": budget, "runs": runs}


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of a search that have been measured."""
    path = RESULTS / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def fill(name: str, functions: list[int], dims: list[int], instances: int) -> None:
    """Run what is missing of a search, and save each row when it is finished."""
    rows = rows_of(name)
    there = {(row["function"], row["dim"]) for row in rows}
    for dim in dims:
        for function in functions:
            if (function, dim) in there:
                continue
            rows.append(measure(name, function, dim, instances))
            RESULTS.mkdir(parents=True, exist_ok=True)
            head = {**describe(), "peers": versions(), "search": name, "seeds": "the numbers of the instances"}
            (RESULTS / f"{name}.json").write_text(json.dumps({**head, "rows": rows}) + "\n")
            print(name, NAMES[function], dim, *(shown(rows[-1], which) for which in (0, 1)), flush=True)


def running_time(row: dict[str, Any], which: int) -> float:
    """ERT to a target, by its place in `TARGETS`; infinite if no run reaches it."""
    reached = [run["reached"][which] for run in row["runs"]]
    spent = sum(run["evaluations"] if n is None else n for run, n in zip(row["runs"], reached, strict=True))
    successes = sum(n is not None for n in reached)
    return float(spent) / successes if successes else float("inf")


def shown(row: dict[str, Any], which: int) -> str:
    """ERT, with the number of runs that reach the target unless all do; a dash if none does."""
    successes = sum(run["reached"][which] is not None for run in row["runs"])
    if not successes:
        return "-"
    share = "" if successes == len(row["runs"]) else f" ({successes} of {len(row['runs'])})"
    return f"{running_time(row, which):,.0f}{share}"


def lines(dim: int) -> Iterator[tuple[str, dict[int, dict[str, Any]]]]:
    """The searches that were run in so many dimensions, with the row of each function."""
    for name in [*OURS, *PEERS]:
        rows = {row["function"]: row for row in rows_of(name) if row["dim"] == dim}
        if rows:
            yield name, rows


def table() -> None:
    """Print two Markdown tables for each number of dimensions: ERT, and how ours compare with their references."""
    for dim in BUDGETS:
        found = dict(lines(dim))
        for which, target in enumerate(TARGETS):
            print(f"\n**{dim} dimensions, to {target:g}**, at most {BUDGETS[dim]:,} evaluations\n")
            print(f"| search | instances | {' | '.join(NAMES.values())} |\n|{'---|' * (len(NAMES) + 2)}")
            for name, rows in found.items():
                count = {len(row["runs"]) for row in rows.values()}
                cells = [shown(rows[number], which) if number in rows else "" for number in NAMES]
                print(f"| {name} | {', '.join(map(str, sorted(count)))} | {' | '.join(cells)} |")
        print(f"\n**{dim} dimensions**, ERT to {TARGETS[-1]:g} over that of\n")
        print(f"| search | of | {' | '.join(NAMES.values())} |\n|{'---|' * (len(NAMES) + 2)}")
        for name, peer in ((name, peer) for name, peers in REFERENCES.items() for peer in peers):
            if name in found and peer in found:
                cells = [ratio(found[name].get(number), found[peer].get(number)) for number in NAMES]
                print(f"| {name} | {peer} | {' | '.join(cells)} |")


def ratio(ours: dict[str, Any] | None, theirs: dict[str, Any] | None) -> str:
    """Our ERT over theirs, to the last target, where both reach it."""
    if ours is None or theirs is None:
        return ""
    first, second = running_time(ours, -1), running_time(theirs, -1)
    return f"{first / second:.2f}" if max(first, second) < float("inf") else "-"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--searches", nargs="+", choices=[*OURS, *PEERS], required=True)
    running.add_argument("--functions", nargs="+", type=int, choices=NAMES, default=list(NAMES))
    running.add_argument("--dims", nargs="+", type=int, choices=BUDGETS, default=list(BUDGETS))
    running.add_argument("--instances", type=int, default=15)
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    torch.set_num_threads(1)
    for name in arguments.searches:
        fill(name, arguments.functions, arguments.dims, arguments.instances)


if __name__ == "__main__":
    main()
