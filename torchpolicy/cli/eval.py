"""Score the policy of a run on held-out episodes."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import parse, parse_pairs
from torchpolicy.trained import evaluate, load_run


@dataclass(kw_only=True)
class EvalOptions:
    """Score the policy of a run on episodes that training never used."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    episodes: int = 100
    """How many."""
    seed: int = 1
    """Of the episodes."""
    json: bool = False
    """Print one JSON object: mean, std, ci, episodes, returns."""
    env: str | None = None
    """pkg.mod:callable, for a run in an environment of your own. Another Gymnasium id is welcome too."""
    env_args: tuple[str, ...] | None = None
    """Keywords for the environment, as name=value, in place of the run's."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""


def run(arguments: list[str]) -> None:
    """``torchpolicy eval RUN …``."""
    options = parse(EvalOptions, "torchpolicy eval", arguments)
    env_args = None if options.env_args is None else parse_pairs("--env-args", options.env_args)
    policy, environment = load_run(options.run, env=options.env, env_args=env_args, policy=options.policy)
    evaluation = evaluate(policy, episodes=options.episodes, seed=options.seed, **environment)
    if not options.json:
        print(evaluation)
        return
    low, high = (value if isfinite(value) else None for value in evaluation.ci)
    returns = [value if isfinite(value) else None for value in evaluation.returns.tolist()]
    mean = evaluation.mean if isfinite(evaluation.mean) else None
    std = evaluation.std if isfinite(evaluation.std) else None
    print(json.dumps({"mean": mean, "std": std, "ci": [low, high], "episodes": len(returns), "returns": returns}))
