"""What searches reach without any tuning: one setting for all environments, and no presets.

Every run is that of one command, ``torchpolicy train ALGORITHM --env ENV --no-preset --normalize-observations --hidden
64 64`` (in FrozenLake there is nothing to normalise); only the budget of steps depends on the environment. There are
three ways to end:

threshold   The held-out score has reached the environment's threshold on two sets of episodes. A run counts as solved
            if its final test, on other episodes, is there too.
million     After a million steps.
preset      After as many steps as the presets take, to compare the score with the best tuned one of the ladder.

python experiments/untuned.py run snes --env Acrobot-v1 --jobs 2   adds the rows that are not there yet
python experiments/untuned.py run snes_episodes --until preset     the same, to another end
python experiments/untuned.py table                                prints the tables of all that lies there
"""

import argparse
import tempfile
import time
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rows
from frozen_lake import success_probability

import torchpolicy as tp
from torchpolicy.output.summary import iqm
from torchpolicy.runs.preset import presets_of

RESULTS = Path(__file__).parent / "results" / "untuned"

LADDER = RESULTS.parent / "ladder"

MILLION = 1_000_000

ENVS = {
    "CartPole-v1": (475.0, 1_000_000, 1_000_000),
    "FrozenLake-v1": (0.7, 10_000_000, 10_000_000),
    "Acrobot-v1": (-100.0, 2_000_000, 2_000_000),
    "MountainCar-v0": (-110.0, 2_000_000, 2_000_000),
    "MountainCarContinuous-v0": (90.0, 2_000_000, 2_000_000),
    "Pendulum-v1": (-200.0, 4_000_000, 6_000_000),
    "LunarLander-v3": (200.0, 2_000_000, 2_000_000),
    "LunarLanderContinuous-v3": (200.0, 2_000_000, 2_000_000),
    "Swimmer-v5": (300.0, 3_000_000, 3_000_000),
    "Hopper-v5": (2000.0, 4_000_000, 7_000_000),
    "HalfCheetah-v5": (2000.0, 4_000_000, 12_000_000),
}
"""Threshold, and budgets of environment steps: to reach it, and of the presets of SNES."""

ONE_HOT = ("FrozenLake-v1",)
"""Environments whose observations have nothing to normalise."""

UNTIL = ("threshold", "million", "preset")
"""When a run ends."""

ENDS = ("total_steps", "target", "eval_every", "eval_episodes")
"""Settings of a preset that say when a run ends, and how it is scored until then."""

VARIANTS: dict[str, dict[str, Any]] = {
    "snes": {"algorithm": "snes"},
    "snes_episodes": {"algorithm": "snes", "episodes": "auto"},
    "snes_restarts": {"algorithm": "snes", "episodes": "auto", "restarts": True},
    "nes": {"algorithm": "nes"},
    "pgpe": {"algorithm": "pgpe"},
    "cem": {"algorithm": "cem"},
    "xnes": {"algorithm": "xnes"},
    "ars": {"algorithm": "ars"},
}
"""Arguments of each variant."""

POLICIES: dict[str, dict[str, Any]] = {"mlp": {"policy_args": {"hidden": [64, 64]}}, "linear": {}}


def run(variant: str, policy: str, until: str, env: str, seed: int) -> rows.Row:
    """One run, as a row of the results. Seconds are processor time, because machines are shared."""
    threshold, to_threshold, of_preset = ENVS[env]
    processor = time.process_time()
    settings = POLICIES[policy] | VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            seed=seed,
            preset=False,
            normalize_observations=env not in ONE_HOT,
            target=threshold if until == "threshold" else None,
            total_steps={"threshold": to_threshold, "million": MILLION, "preset": of_preset}[until],
            eval_episodes=40 if until == "threshold" else 100,
            log_dir=folder,
            **settings,
        )
    curve = rows.curve(result.metrics)
    return {
        "variant": variant,
        "policy": policy,
        "env": env,
        "seed": seed,
        "mean": success_probability(result.policy) if env == "FrozenLake-v1" else result.evaluation.mean,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "env_steps_to_threshold": rows.first_at(curve, threshold),
        "curve": rows.thinned(curve),
        "seconds": round(time.process_time() - processor, 1),
    }


def path_of(variant: str, policy: str, until: str) -> Path:
    """The file of a variant's results with a policy."""
    return RESULTS / f"{variant}-{policy}{'' if until == 'threshold' else f'-{until}'}.json"


def table() -> None:
    """Markdown tables: seeds that solved each environment and the steps to its threshold, and the scores reached."""
    for policy, until in product(POLICIES, UNTIL):
        variants = [name for name in VARIANTS if path_of(name, policy, until).exists()]
        if not variants:
            continue
        to_threshold = until == "threshold"
        shown = "solved seeds, median of steps to the threshold in thousands, median score"
        end = f"after {'a million steps' if until == 'million' else 'as many steps as the presets take'}"
        print(f"\n**{policy}**: {shown if to_threshold else f'{end}, IQM, share of the tuned score, seeds'}\n")
        print(f"| environment | {'threshold' if to_threshold else 'tuned'} | {' | '.join(variants)} |", end="")
        print(f"\n|{'---|' * (len(variants) + 2)}")
        for env, (threshold, *_) in ENVS.items():
            cells, goal = [], threshold if to_threshold else tuned(env)
            for name in variants:
                mine = [row for row in rows.read(path_of(name, policy, until)) if row["env"] == env]
                if until == "preset" and is_preset(name, policy, env):
                    mine = rows.read(LADDER / f"{env}-{VARIANTS[name]['algorithm']}-{policy}.json")
                cells.append(_cell(mine, threshold) if to_threshold else _share(mine, goal))
            if any(cells):
                print(f"| {env} | {goal:.4g} | {' | '.join(cells)} |")


def is_preset(variant: str, policy: str, env: str) -> bool:
    """Whether a preset is this very setting, so that the ladder has its results."""
    settings = ({} if env in ONE_HOT else {"normalize_observations": True}) | POLICIES[policy] | VARIANTS[variant]
    each = [{**one} for one in presets_of(settings.pop("algorithm"))[env]]
    return settings in [{name: value for name, value in one.items() if name not in ENDS} for one in each]


def tuned(env: str) -> float:
    """The best score of an algorithm with its preset, on the ladder: the interquartile mean of three seeds or more."""
    files = [rows.read(path) for path in LADDER.glob(f"{env}-*.json")]
    return max(score_of(found) for found in files if len(found) >= 3)


def score_of(mine: list[rows.Row]) -> float:
    """The interquartile mean over seeds, of FrozenLake's exact probability of success."""
    return float(iqm(np.array([row.get("success_probability", row["mean"]) for row in mine])))


def _share(mine: list[rows.Row], goal: float) -> str:
    """The cell of a variant and an environment: where returns are negative, the share is that of the tuned cost."""
    if not mine:
        return ""
    score = score_of(mine)
    share = max(0.0, score / goal if goal > 0 else goal / score)
    return f"{score:.4g}, {share:.0%}, {len(mine)}"


def _cell(mine: list[rows.Row], threshold: float) -> str:
    """The cell of a variant and an environment."""
    if not mine:
        return ""
    solved = sum(row["mean"] >= threshold for row in mine)
    steps = float(np.median([row["env_steps_to_threshold"] or np.inf for row in mine]))
    shown = f"{steps / 1e3:,.0f}k" if np.isfinite(steps) else "-"
    return f"{solved} of {len(mine)}, {shown}, {np.median([row['mean'] for row in mine]):.0f}"


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("variant", choices=VARIANTS)
    running.add_argument("--policy", choices=POLICIES, default="mlp")
    running.add_argument("--until", choices=UNTIL, default="threshold")
    running.add_argument("--env", nargs="+", choices=ENVS, default=list(ENVS))
    running.add_argument("--seeds", nargs="+", type=int, default=list(range(10)))
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table()
        return
    kind = arguments.variant, arguments.policy, arguments.until
    wanted = list(product(arguments.env, arguments.seeds))
    rows.fill(path_of(*kind), partial(run, *kind), ("env", "seed"), wanted, arguments.jobs)


if __name__ == "__main__":
    main()
