"""Whether a search and a learner that take turns need fewer env steps to a threshold than either alone.

Each way trains one policy in one or two stages, with the same number of env steps in all. A learner that goes on from a
search gets a policy that samples again (`tp.soften`), a search that goes on from a learner begins with a smaller std.
The steps are counted until a validation of 100 held-out episodes reaches the threshold for the first time.

python experiments/relay.py run --env Pendulum-v1     adds the rows that are not there yet
python experiments/relay.py table                     prints the table
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rows

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "relay.json"

ENVS: dict[str, dict[str, Any]] = {
    "Pendulum-v1": {"threshold": -200.0, "total_steps": 1_500_000, "hidden": (32,)},
    "LunarLander-v3": {"threshold": 200.0, "total_steps": 1_500_000, "hidden": (64,)},
}

SEARCH: dict[str, Any] = {"algorithm": "snes", "episodes": "auto"}
LEARNERS: dict[str, dict[str, Any]] = {
    "reinforce": {"algorithm": "reinforce", "episodes": 16, "learning_rate": 0.005},
    "deepcem": {
        "algorithm": "deepcem",
        "episodes": 20,
        "starts": 5,
        "elite": "advantages",
        "discount": 0.99,
        "minibatch": 1024,
        "learning_rate": 0.005,
    },
}

FIRST = 0.2
"""Share of the steps in the first of two stages."""

SPREAD = {"Pendulum-v1": 0.3, "LunarLander-v3": 0.5}
"""How widely a policy samples when a learner takes over: the std of Box actions, or a share of the largest entropy."""

STD_SCALE = 0.1
"""The first std of a search that takes over, in units of each layer's initial scale."""

Stage = tuple[float, dict[str, Any]]
WAYS: dict[str, list[Stage]] = {
    "snes": [(1, SEARCH)],
    **{name: [(1, learner)] for name, learner in LEARNERS.items()},
    **{f"snes, {name}": [(FIRST, SEARCH), (1 - FIRST, learner)] for name, learner in LEARNERS.items()},
    **{
        f"{name}, snes": [(FIRST, learner), (1 - FIRST, SEARCH | {"std_scale": STD_SCALE})]
        for name, learner in LEARNERS.items()
    },
}


def run(env: str, way: str, seed: int) -> rows.Row:
    """One policy, trained in one way, as a row."""
    about, processor = ENVS[env], time.process_time()
    policy: tp.Policy | None = None
    steps, curve, score = 0.0, [], float("nan")
    for share, settings in WAYS[way]:
        first: dict[str, Any] = {"policy_args": {"hidden": about["hidden"]}, "normalize_observations": True}
        if policy is not None:
            takes_over = settings["algorithm"] in LEARNERS
            first = {"policy": tp.soften(policy, env, SPREAD[env], seed=seed) if takes_over else policy}
        with tempfile.TemporaryDirectory() as folder:
            budget: dict[str, Any] = {"total_steps": int(share * about["total_steps"]), "target": None}
            result = tp.train(env, seed=seed, preset=False, log_dir=folder, eval_every=5, **budget, **first, **settings)
        curve += [(steps + at, score) for at, score in rows.curve(result.metrics)]
        steps += result.metrics[-1]["rollout/env_steps"]
        policy, score = result.policy, result.evaluation.mean
    return {
        **{"env": env, "way": way, "seed": seed, "mean": score, "env_steps": steps},
        "steps_to_threshold": rows.first_at(curve, about["threshold"]),
        "seconds": round(time.process_time() - processor, 1),
        "curve": curve,
    }


def table() -> None:
    """A Markdown table of all environments and ways."""
    heads = ["environment", "way", "IQM", "95 % interval", "worst seed", "env steps", "seeds", "reached"]
    print(f"| {' | '.join([*heads, 'env steps to it, median'])} |\n|{'---|' * (len(heads) + 1)}")
    for env in ENVS:
        for way in WAYS:
            mine = [row for row in rows.reported(RESULTS) if (row["env"], row["way"]) == (env, way)]
            if mine:
                there = [row["steps_to_threshold"] or np.inf for row in mine]
                median = f"{np.median(there) / 1e3:,.0f}k".replace("infk", "-")
                reached = str(sum(np.isfinite(there)))
                print(f"| {' | '.join([env, way, *rows.cells(mine, 1), reached, median])} |")


if __name__ == "__main__":
    rows.main(__doc__, RESULTS, run, table, seeds=5, env=ENVS, way=WAYS)
