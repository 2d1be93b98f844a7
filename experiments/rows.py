"""Results files that hold one row for each run: filled with the runs that are missing, and summed up over seeds."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
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
            stamp = {name: describe()[name] for name in ("commit", "date")}
            found = sorted([*read(path), stamp | done.result()], key=known)
            path.write_text(json.dumps({**describe(), "rows": found}, indent=1) + "\n")
            print({name: value for name, value in found[found.index(stamp | done.result())].items() if name != "curve"})


def cells(rows: list[Row], digits: int) -> list[str]:
    """Over the reported seeds: the interquartile mean of the scores, its 95 % interval, the worst, and the steps."""
    mine = [row for row in rows if row["seed"] < REPORTED]
    scores = np.array([row["mean"] for row in mine])
    low, high = iqm_interval(scores)
    steps = f"{np.median([row['env_steps'] for row in mine]) / 1e3:,.0f}k"
    spread = f"{low:.{digits}f} to {high:.{digits}f}"
    return [f"{iqm(scores):.{digits}f}", spread, f"{scores.min():.{digits}f}", steps, str(len(mine))]
