"""Runs that are found in folders, and read, and put into groups of seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.output.config import CONFIG, read_config
from torchpolicy.output.writers.jsonl import NAME as METRICS
from torchpolicy.output.writers.jsonl import read_rows

BUDGET = ("target", "generations", "total_steps", "seconds")
"""Settings that say when a run ends."""

TOLD_APART = (
    *("env_args", "max_episode_steps", "episodes", "actions", "action_std", "reevaluate", "failed", "step_penalty"),
    *("stop_early", "restarts", "normalize_observations", "initial_weights", "starts", "backend", "compile", *BUDGET),
    *("tolerance", "tolerance_generations", "keep", "eval_every", "eval_episodes"),
)
"""Settings by which runs are told apart, besides the algorithm with its hyperparameters and the policy."""

NEEDED = ("env", "algorithm", "seed", "hyperparameters", "policy", "net", *TOLD_APART)
"""Fields of a run's configuration that are read."""


@dataclass(frozen=True)
class Run:
    """A run as read from its folder.

    Attributes:
        folder: The run's folder.
        config: Its configuration.
        rows: Its metrics, one dictionary for each generation.
    """

    folder: Path
    config: Mapping[str, Any]
    rows: list[dict[str, Any]]

    def curve(self, axis: str, score: str) -> tuple[Array, Array]:
        """The values of two metrics, (n,) and (n,), in the generations that have both."""
        points = [(row[axis], row[score]) for row in self.rows if None not in (row.get(axis), row.get(score))]
        x, y = np.array(points, float).reshape(-1, 2).T
        return x, y


def find_runs(places: str | Path | Iterable[str | Path]) -> list[Run]:
    """All runs in a place, or in several, each of which is a run's folder or contains run folders.

    Raises:
        ValueError: If a place contains no run with metrics, or a file of a run is damaged.
    """
    found: dict[Path, Run] = {}
    for place in map(Path, [places] if isinstance(places, str | Path) else places):
        folders = [path.parent for path in sorted(place.rglob(CONFIG))]
        read = [(folder, _rows(folder)) for folder in folders]
        runs = [Run(folder, read_config(folder, NEEDED), rows) for folder, rows in read if rows]
        if not runs:
            raise ValueError(f"{place}: no run with metrics in there, a folder with {CONFIG} and {METRICS}")
        found |= {run.folder.resolve(): run for run in runs}
    if not found:
        raise ValueError("no runs were given")
    return list(found.values())


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs of one environment that differ in nothing except the seed, grouped under a label.

    The label is the algorithm, followed by the settings in which its groups differ. Numbers have four digits, unless
    that would make two of them the same.
    """
    settings = [_settings(run.config) for run in runs]
    groups: dict[str, list[Run]] = {}
    for run, own in zip(runs, settings, strict=True):
        alike = [other for other in settings if other["algorithm"] == own["algorithm"]]
        differing = [name for name in own if any(other.get(name) != own[name] for other in alike)]
        words = [f"{name}={_short(own[name], [other.get(name) for other in alike])}" for name in differing]
        label = " ".join([own["algorithm"], *words])
        groups.setdefault(label, []).append(run)
    return dict(sorted(groups.items()))


def _short(value: Any, others: Sequence[Any]) -> str:
    """A value in a label: a number with four digits, if these tell it from the other values."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.4g}"
    alike = any(isinstance(other, float) and other != value and f"{other:.4g}" == text for other in others)
    return str(value) if alike or float(text) == value else text


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's group and label depend on. The user's own policy is told apart by the shapes of its weights."""
    policy = config["policy"] or {}
    own = {name: config[name] for name in ("algorithm", *TOLD_APART)}
    own |= {"policy": policy.get("policy")}
    own |= config["hyperparameters"]
    own |= policy.get("policy_args", {"net": ",".join("x".join(map(str, shape)) for shape in config["net"].values())})
    return own


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(folder, float("inf"))]
