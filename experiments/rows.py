"""Studies of many runs: results files with a row for each run, filled where runs are missing, summed up over seeds."""

import argparse
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.machine import describe

from torchpolicy.output.summary import iqm, iqm_interval

Row = dict[str, Any]
REPORTED = 100
"""Seeds from here on are those of tuning, and are in no table."""


def read(path: Path) -> list[Row]:
    """The rows of a results file; none if it is not there."""
    found: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def reported(path: Path) -> list[Row]:
    """The rows of a results file but those of tuning."""
    return [row for row in read(path) if row["seed"] < REPORTED]


def fill(
    path: Path, run: Callable[..., Row], keys: tuple[str, ...], wanted: Iterable[tuple[Any, ...]], jobs: int
) -> None:
    """Make the wanted rows that a results file lacks, `jobs` at a time, and save each when it is finished.

    Args:
        path: The results file.
        run: Makes a row from its keys; a function of a module, because it is called in another process.
        keys: Fields by which a row is known.
        wanted: Their values, one tuple for each row.
        jobs: Number of runs at a time.
    """

    def known(row: Row) -> tuple[Any, ...]:
        return tuple(row[key] for key in keys)

    there = {known(row) for row in read(path)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run, *each) for each in wanted if each not in there]):
            about = describe()
            row = {name: about[name] for name in ("commit", "date")} | done.result()
            content = {**about, "rows": sorted([*read(path), row], key=known)}
            path.write_text(json.dumps(content, indent=1) + "\n")
            print({name: value for name, value in row.items() if name != "curve"}, flush=True)


def cells(rows: list[Row], digits: int) -> list[str]:
    """Over seeds: interquartile mean of the scores, its 95 % interval, worst score, median of the steps, and number."""
    scores = np.array([row["mean"] for row in rows])
    low, high = iqm_interval(scores)
    steps = f"{np.median([row['env_steps'] for row in rows]) / 1e3:,.0f}k"
    spread = f"{low:.{digits}f} to {high:.{digits}f}"
    return [f"{iqm(scores):.{digits}f}", spread, f"{scores.min():.{digits}f}", steps, str(len(rows))]


def main(
    doc: str | None,
    path: Path,
    run: Callable[..., Row],
    table: Callable[[], None],
    *,
    seeds: int,
    defaults: Mapping[str, Collection[str]] = {},
    **choices: Collection[str],
) -> None:
    """The command line of a study: ``run`` adds the rows that are not there yet, ``table`` prints the table.

    Args:
        doc: The help.
        path: The results file.
        run: Makes a row from a value of each of the choices, in their order, and a seed.
        table: Prints the table.
        seeds: Number of seeds by default, from 0 on.
        defaults: What is run of a choice by default, instead of all of it.
        **choices: What there is to choose from, by the field of a row.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    for name, values in choices.items():
        running.add_argument(f"--{name}", nargs="+", choices=values, default=list(defaults.get(name, values)))
    running.add_argument("--seed", nargs="+", type=int, default=list(range(seeds)))
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    commands.add_parser("table")
    asked = vars(parser.parse_args())
    if asked["command"] == "table":
        table()
    else:
        wanted = [(*rest, seed) for seed, *rest in product(asked["seed"], *(asked[name] for name in choices))]
        fill(path, run, (*choices, "seed"), wanted, asked["jobs"])
