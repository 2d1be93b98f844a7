"""Score the policy of a run on held-out episodes."""

import json
from math import isfinite

from torchpolicy.cli.base import RunOptions, as_options, parse
from torchpolicy.runs.trained import evaluate


@as_options
class EvalOptions(RunOptions):
    """Score the policy of a run on episodes that training never used.

    For example: torchpolicy eval runs/CartPole-v1/cem-s0-20261122-101420 --episodes 1000 --seed 7
    """

    episodes: int = 100
    """Number of episodes."""
    json: bool = False
    """Print one JSON object with the keys mean, std, ci (the ends of the 95 % interval), episodes and returns."""


def run(arguments: list[str]) -> None:
    """``torchpolicy eval RUN …``."""
    options = parse(EvalOptions, "torchpolicy eval", arguments)
    policy, environment = options.load()
    evaluation = evaluate(policy, episodes=options.episodes, seed=options.seed, **environment)
    if not options.json:
        print(evaluation)
        return
    low, high = (value if isfinite(value) else None for value in evaluation.ci)
    returns = [value if isfinite(value) else None for value in evaluation.returns.tolist()]
    mean = evaluation.mean if isfinite(evaluation.mean) else None
    std = evaluation.std if isfinite(evaluation.std) else None
    print(json.dumps({"mean": mean, "std": std, "ci": [low, high], "episodes": len(returns), "returns": returns}))
