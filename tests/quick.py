"""Runs of a second, and what to compare of them."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor
from worlds import Guess

import torchpolicy as tp


def quick(env: Any = Guess, **arguments: Any) -> tp.Result:
    """Three generations of CEM, unless the arguments say otherwise."""
    return tp.train(env, "cem", **{"generations": 3, "population": 8, "eval_episodes": 4, **arguments})


def rows(run_dir: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def weights(result: tp.Result) -> Tensor:
    """(D,), the final weights."""
    return tp.ParamVector(result.policy.net).read()


def without_time(metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    """Metrics whose values are the same every time."""
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in metrics]
