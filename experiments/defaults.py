"""A study of the defaults that a search should have in a run: the first std, the population, and warm-up episodes.

Each of the three questions is put to several searches and environments, with five seeds from 100 on, which the ladder
does not report. Nothing else is tuned: all settings except the one in question are the defaults.

std         the first std, in units of each layer's initial scale (U(-b, b) with half-width b): 1, 1/sqrt(3), which is
            the standard deviation of that distribution, and half of it; MLPs of 64-64 and 256-256
population  SNES with an MLP of 64-64 and xNES with a linear policy: once, twice and four times the papers' default,
            which is for functions without noise
warm_up     observations normalised in the first generation too, by what 16 episodes of the first policy saw, or not

python experiments/defaults.py run std --env CartPole-v1 --jobs 2     adds the rows that are not there yet
python experiments/defaults.py table                                  prints the tables of all that lies there
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from math import floor, isclose, log, sqrt
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import rows

import torchpolicy as tp
from torchpolicy.output.summary import iqm

RESULTS = Path(__file__).parent / "results" / "defaults"
SEEDS = range(100, 105)

SETTINGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"total_steps": 200_000, "eval_every": 5, "eval_episodes": 50},
    "LunarLanderContinuous-v3": {"total_steps": 300_000, "normalize_observations": True}
    | {"eval_every": 5, "eval_episodes": 50},
    "HalfCheetah-v5": {"total_steps": 300_000, "normalize_observations": True} | {"eval_every": 5, "eval_episodes": 10},
}

SCALES = (1.0, 1 / sqrt(3), 0.5 / sqrt(3))
POPULATIONS = (1, 2, 4)
WARM_UP = 16
"""Number of warm-up episodes, which are no part of a run's budget."""


def settings_of(env: str, algorithm: str) -> dict[str, Any]:
    """Settings of a run. HalfCheetah's episodes have 1,000 steps, so its populations are half of the default."""
    half = env == "HalfCheetah-v5" and algorithm in ("nes", "pgpe")
    return SETTINGS[env] | ({"population": 32} if half else {})


def cases(question: str) -> Iterator[dict[str, Any]]:
    """The cases of a question for each environment and seed: algorithm, hidden units, and the value in question."""
    if question == "std":
        for hidden in ([64, 64], [256, 256]):
            for algorithm in ("nes", "pgpe", "snes"):
                for scale in SCALES:
                    yield {"algorithm": algorithm, "hidden": hidden, "value": scale}
    elif question == "population":
        for algorithm, hidden in (("snes", [64, 64]), ("xnes", [])):
            for factor in POPULATIONS:
                yield {"algorithm": algorithm, "hidden": hidden, "value": factor}
    else:
        for algorithm in ("nes", "snes"):
            for warm in (False, True):
                yield {"algorithm": algorithm, "hidden": [64, 64], "value": warm}


def run(question: str, env: str, algorithm: str, hidden: list[int], value: float, seed: int) -> rows.Row:
    """One run, as a row of the results. Seconds are processor time, because machines are shared."""
    settings = settings_of(env, algorithm)
    with closing(gymnasium.make(env)) as made:
        spaces = made.observation_space, made.action_space
    policy: tp.Policy = tp.MLPPolicy(*spaces, hidden=hidden, seed=seed)
    processor = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        common: dict[str, Any] = {"seed": seed, "preset": False, "log_dir": folder}
        if question == "std":
            settings = settings | {"std_scale": value}
        elif question == "population":
            settings = settings | {"population": value * (4 + floor(3 * log(tp.ParamVector(policy.net).dim)))}
        elif value:
            policy = warmed_up(env, policy, common)
        result = tp.train(env, algorithm, policy=policy, target=None, **common, **settings)
    return {
        **{"env": env, "algorithm": algorithm, "hidden": hidden, "value": value, "seed": seed},
        "mean": result.evaluation.mean,
        "curve": rows.curve(result.metrics),
        "seconds": round(time.process_time() - processor, 1),
    }


def warmed_up(env: str, policy: tp.Policy, common: dict[str, Any]) -> tp.Policy:
    """The policy with unchanged weights, whose normaliser has seen some episodes of its own, each of them twice."""
    first = tp.ParamVector(policy.net).read()
    small: dict[str, Any] = {"population": 2, "std": 1e-6, "episodes": WARM_UP, "eval_episodes": 1}
    begun = tp.train(env, "nes", policy=policy, normalize_observations=True, generations=1, **small, **common)
    tp.ParamVector(begun.policy.net).write(first)
    return begun.policy


def path_of(question: str) -> Path:
    """The file of a question's results."""
    return RESULTS / f"{question}.json"


def fill(question: str, envs: list[str], values: list[float] | None, jobs: int, seeds: int) -> None:
    """Run the missing rows, seed by seed, and save each row when it is finished."""
    asked = [
        case
        for case in cases(question)
        if values is None or any(isclose(case["value"], v, rel_tol=0.01) for v in values)
    ]
    wanted = [(env, *case.values(), seed) for seed in SEEDS[:seeds] for env in envs for case in asked]
    keys = ("env", "algorithm", "hidden", "value", "seed")
    rows.fill(path_of(question), partial(run, question), keys, wanted, jobs)


def table(question: str) -> None:
    """A Markdown table of interquartile means of the final test over the seeds."""
    measured = rows.read(path_of(question))
    print(f"\n**{question}**\n")
    print("| environment | algorithm | hidden units | value | seeds | score (95 % interval) | mean of the curve |")
    print("|---|---|---|---|---|---|---|")
    for env in SETTINGS:
        for case in cases(question):
            found = [row for row in measured if row["env"] == env and all(row[key] == case[key] for key in case)]
            if found:
                scores = np.array([row["mean"] for row in found])
                area = np.array([np.mean([score for _, score in row["curve"]]) for row in found])
                hidden, value = "-".join(map(str, case["hidden"])) or "none", case["value"]
                shown = f"{value:.2f}" if isinstance(value, float) else str(value)
                score = f"{float(iqm(scores)):.1f} ({rows.interval(scores, 1)}) | {float(iqm(area)):.1f}"
                print(f"| {env} | {case['algorithm']} | {hidden} | {shown} | {len(found)} | {score} |")


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("question", choices=("std", "population", "warm_up"))
    running.add_argument("--env", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    running.add_argument("--values", nargs="+", type=float, help="the values to run; all by default")
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    running.add_argument("--seeds", type=int, default=len(SEEDS), help="number of seeds")
    commands.add_parser("table")
    arguments = parser.parse_args()
    if arguments.command == "table":
        for question in ("std", "population", "warm_up"):
            table(question)
        return
    fill(arguments.question, arguments.env, arguments.values, arguments.jobs, arguments.seeds)


if __name__ == "__main__":
    main()
