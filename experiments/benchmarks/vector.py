"""Environment steps per second of whole runs, by what steps the environment.

SNES with a small network trains for some seconds, after a shorter run that is not counted. The figure counts training
steps, over all that a run does in that time: the search, checkpoints, and the one held-out evaluation at its end. All
ways take turns in one run, and the median over repeats is written. The ways without threads get as many processes.

    python experiments/benchmarks/vector.py [--env HalfCheetah-v5 LunarLander-v3] [--seconds 30] [--repeats 3]

EnvPool is measured if it is installed beside this package.
"""

import argparse
import importlib.util
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from machine import describe

import torchpolicy as tp

WIDTH = 32
"""Sub-environments of a vector environment."""

Way = tuple[Any, dict[str, Any]]


def ways(env: str, workers: int) -> dict[str, Way]:
    """What steps the environment, each as the environment and settings of a run."""
    single = partial(gymnasium.make, env, disable_env_checker=True)
    many: dict[str, Callable[[], Any]] = {
        "SyncVectorEnv": lambda: SyncVectorEnv([single] * WIDTH, autoreset_mode="Disabled"),
        "AsyncVectorEnv": lambda: AsyncVectorEnv([single] * WIDTH, autoreset_mode="Disabled"),
    }
    found: dict[str, Way] = {"gymnasium": (env, {"backend": "gymnasium", "workers": workers})}
    if env.startswith("HalfCheetah"):
        found["MuJoCo slots"] = (env, {"backend": "native", "workers": workers})
    if importlib.util.find_spec("envpool"):
        found["envpool"] = (env, {"backend": "envpool", "env_args": {"num_envs": WIDTH, "num_threads": workers}})
    return found | {name: (make, {}) for name, make in many.items()}


def rate(way: Way, seconds: float) -> float:
    """Environment steps of training per second of a run, from its start to the last generation."""
    env, settings = way
    with TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "snes",
            policy_args={"hidden": (64, 64)},
            population=64,
            preset=False,
            target=None,
            seconds=seconds,
            eval_episodes=4,
            eval_every=10_000,
            log_dir=folder,
            seed=0,
            **settings,
        )
    last = result.metrics[-1]
    return last["rollout/env_steps"] / last["time/elapsed"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["HalfCheetah-v5", "LunarLander-v3"])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vector.json")
    arguments = parser.parse_args()
    rows = []
    for env in arguments.env:
        measured: dict[str, list[float]] = {}
        for repeat in range(-1, arguments.repeats):  # the first one warms up, and does not count
            for name, way in ways(env, arguments.workers).items():
                found = rate(way, arguments.seconds if repeat >= 0 else arguments.seconds / 10)
                if repeat >= 0:
                    measured.setdefault(name, []).append(found)
        for name, rates in measured.items():
            rows.append({"env": env, "way": name, "steps_a_second": round(statistics.median(rates)), "all": rates})
            print(rows[-1], flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), **vars(arguments), "out": None, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
