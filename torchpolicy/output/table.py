"""The metrics of runs as columns of numbers, for whoever looks at them with other tools."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.output.collection import Run, find_runs, group_runs

FIRST = ("run", "env", "algorithm", "configuration", "seed", "generation")
"""The first columns; the other metrics follow in the order of their names."""


def read_runs(runs: str | Path | Iterable[str | Path]) -> dict[str, Array]:
    """Read the metrics of runs as columns, with a row for each generation of each run.

    For a data frame, hand them to ``pandas.DataFrame`` or ``polars.DataFrame``.

    Example::

        columns = tp.read_runs("runs/CartPole-v1")
        late = columns["rollout/env_steps"] > 10_000
        print(columns["search/center_score"][late].mean())

    Args:
        runs: Run folders, or folders that contain run folders at any depth.

    Returns:
        Columns (N,) by name: ``run`` (the folder), ``env``, ``algorithm`` and ``configuration`` (the algorithm with the
        settings that differ from those of other runs) as text, ``seed`` and ``generation`` as whole numbers, and all
        metrics as float64. NaN stands where a generation has no such metric.

    Raises:
        ValueError: If there are no runs with metrics, or a file of a run is damaged.
    """
    rows = list(_rows(find_runs(runs)))
    metrics = sorted({name for row in rows for name in row if name not in FIRST})
    columns = {name: np.array([row[name] for row in rows]) for name in FIRST}
    return columns | {name: np.array([row.get(name) for row in rows], dtype=np.float64) for name in metrics}


def write_csv(runs: str | Path | Iterable[str | Path], path: str | Path) -> Path:
    """Write the columns of :func:`read_runs` as a CSV file, in which NaN is empty; returns its path.

    Raises:
        ValueError: If there are no runs with metrics, or a file of a run is damaged.
        OSError: If the file cannot be written.
    """
    columns = read_runs(runs)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        lists = [column.tolist() for column in columns.values()]
        writer.writerows(["" if value != value else value for value in row] for row in zip(*lists, strict=True))
    return Path(path)


def _rows(runs: list[Run]) -> Iterator[dict[str, Any]]:
    """One dictionary for each generation of each run."""
    for env in dict.fromkeys(run.config["env"] for run in runs):
        for label, group in group_runs([run for run in runs if run.config["env"] == env]).items():
            for run in group:
                known = {"run": str(run.folder), "env": env, "algorithm": run.config["algorithm"]}
                known |= {"configuration": label, "seed": run.config["seed"]}
                for row in run.rows:
                    yield row | known | {"generation": int(row["generation"])}
