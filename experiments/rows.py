"""Studies of many runs: results files with a row for each run, filled where runs are missing, summed up over seeds."""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from benchmarks.machine import describe

from torchpolicy.base.types import Array
from torchpolicy.output.summary import ENOUGH, iqm, iqm_interval

Row = dict[str, Any]
Steps = TypeVar("Steps", int, float)
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
    path: Path,
    run: Callable[..., Row],
    keys: tuple[str, ...],
    wanted: Iterable[tuple[Any, ...]],
    jobs: int,
    **about: str,
) -> None:
    """Make the wanted rows that a results file lacks, `jobs` at a time, and save each when it is finished.

    A run that fails is told, and the program exits with 1 after all the others.

    Args:
        path: The results file.
        run: Makes a row from its keys; a function of a module, because it is called in another process.
        keys: Fields by which a row is known.
        wanted: Their values, one tuple for each row.
        jobs: Number of runs at a time.
        **about: What else the file says of all rows.
    """

    def known(row: Row) -> list[Any]:
        return [row[key] for key in keys]

    def order(row: Row) -> list[Any]:
        return [json.dumps(value) if isinstance(value, dict) else value for value in known(row)]

    there = [known(row) for row in read(path)]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        tasks = {pool.submit(run, *each): each for each in wanted if list(each) not in there}
        for done in as_completed(tasks):
            if done.exception() is not None:  # which the other runs do not wait for
                print(f"{tasks[done]} failed: {done.exception()}", file=sys.stderr, flush=True)
                continue
            row = {name: describe()[name] for name in ("commit", "date")} | done.result()
            write(path, sorted([*read(path), row], key=order), jobs, **about)
            print({name: value for name, value in row.items() if name != "curve"}, flush=True)
    if any(task.exception() for task in tasks):
        sys.exit(1)


def write(path: Path, rows: list[Row], jobs: int, **about: str) -> None:
    """Write a results file, with one line for each row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**describe(), "runs_at_a_time": jobs, **about}, indent=1).removesuffix("\n}")
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    path.write_text(f'{head},\n "rows": [\n{lines}\n ]\n}}\n')


def curve(metrics: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Env steps and score of every validation of a run."""
    scored = [row for row in metrics if "eval/mean_reward" in row]
    return [(row["rollout/env_steps"], round(row["eval/mean_reward"], 2)) for row in scored]


def thinned(points: list[Any], about: int = 50) -> list[Any]:
    """A curve with fewer points, evenly spread: from `about` to twice as many."""
    return points[:: max(1, len(points) // about)]


def first_at(points: Iterable[tuple[Steps, float]], threshold: float) -> Steps | None:
    """Env steps at the first point of a curve that reaches a score; None if there is none."""
    return next((steps for steps, score in points if score >= threshold), None)


def interval(scores: Array, digits: int) -> str:
    """The 95 % interval of the interquartile mean of scores (N,), in words; a dash for fewer than five."""
    return (
        "{:.{digits}f} to {:.{digits}f}".format(*iqm_interval(scores), digits=digits) if len(scores) >= ENOUGH else "-"
    )


def cells(rows: list[Row], digits: int) -> list[str]:
    """Over seeds: interquartile mean of the scores, its 95 % interval, worst score, median of the steps, and number."""
    scores = np.array([row["mean"] for row in rows])
    steps = f"{np.median([row['env_steps'] for row in rows]) / 1e3:,.0f}k"
    return [f"{iqm(scores):.{digits}f}", interval(scores, digits), f"{scores.min():.{digits}f}", steps, str(len(rows))]


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
