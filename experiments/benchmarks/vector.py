"""Environment steps per second of whole runs, by what steps the environment.

SNES with a small network trains for some seconds, after a shorter run that is not counted. The figure counts training
steps, over all that a run does in that time: the search, checkpoints, and the one held-out evaluation at its end. All
ways take turns in one run, and the median over repeats is written. All have the same number of cores: as processes, as
threads of EnvPool in one process, or as EnvPool's one thread in each process; AsyncVectorEnv has its own processes.

    python experiments/benchmarks/vector.py [--env HalfCheetah-v5 LunarLander-v3] [--seconds 15] [--repeats 3]

EnvPool is measured if it is installed beside this package. Pong-v5, Atari's from `ale-py`, is seen as the last four
grey pictures of 84 by 84 pixels, by a convolutional policy. Rows of other environments in the file stay.
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
"""Sub-environments of a vector environment, and candidates of a generation."""

PONG = "Pong-v5"

Way = tuple[Any, dict[str, Any]]


MUJOCO = ("Ant-v5", "HalfCheetah-v5", "Hopper-v5", "Humanoid-v5", "Swimmer-v5", "Walker2d-v5")


def pong() -> gymnasium.Env[Any, Any]:
    """Atari's Pong as EnvPool's Pong-v5 has it."""
    import ale_py

    gymnasium.register_envs(ale_py)
    game = gymnasium.make("ALE/Pong-v5", frameskip=1, repeat_action_probability=0.0, disable_env_checker=True)
    return gymnasium.wrappers.FrameStackObservation(gymnasium.wrappers.AtariPreprocessing(game), 4)


def ways(env: str, workers: int) -> dict[str, Way]:
    """What steps the environment, each as the environment and settings of a run."""
    single = pong if env == PONG else partial(gymnasium.make, env, disable_env_checker=True)
    many: dict[str, Callable[[], Any]] = {
        "SyncVectorEnv": lambda: SyncVectorEnv([single] * WIDTH, autoreset_mode="Disabled"),
        "AsyncVectorEnv": lambda: AsyncVectorEnv([single] * WIDTH, autoreset_mode="Disabled"),
    }
    alone = single if env == PONG else env
    found: dict[str, Way] = {"gymnasium": (alone, {"backend": "gymnasium", "workers": workers})}
    if env in MUJOCO:
        found["MuJoCo slots"] = (env, {"backend": "native", "workers": workers})
    if importlib.util.find_spec("envpool"):
        for threads in (1, workers):
            pool = {"num_envs": WIDTH * threads // workers, "num_threads": threads}
            settings = {"backend": "envpool", "env_args": pool, "workers": workers // threads}
            found[f"EnvPool, {threads} thread{'s' * (threads > 1)}"] = (env, settings)
    return found | {name: (make, {}) for name, make in many.items()}


def rate(way: Way, seconds: float, *, sees: bool) -> float:
    """Environment steps of training per second of a run, from its start to the last generation."""
    env, settings = way
    conv = {"policy": "conv", "policy_args": {"channels": (16, 32), "kernels": (8, 4), "strides": (4, 2)}}
    policy = conv if sees else {"policy_args": {"hidden": (64, 64)}}
    with TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "snes",
            population=WIDTH,
            preset=False,
            target=None,
            seconds=seconds,
            eval_episodes=4,
            eval_every=10_000,
            log_dir=folder,
            seed=0,
            **policy,
            **settings,
        )
    last = result.metrics[-1]
    return last["rollout/env_steps"] / last["time/elapsed"]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", nargs="+", default=["HalfCheetah-v5", "LunarLander-v3"])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", help="only these, such as gymnasium or 'MuJoCo slots'")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vector.json")
    arguments = parser.parse_args()
    before = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    rows = [row for row in before if row["env"] not in arguments.env]
    for env in arguments.env:
        measured: dict[str, list[float]] = {}
        for repeat in range(-1, arguments.repeats):  # the first one warms up, and does not count
            for name, way in ways(env, arguments.workers).items():
                if arguments.ways and name not in arguments.ways:
                    continue
                found = rate(way, arguments.seconds if repeat >= 0 else 1.0, sees=env == PONG)
                if repeat >= 0:
                    measured.setdefault(name, []).append(found)
        for name, rates in measured.items():
            median = round(statistics.median(rates))
            rows.append({"env": env, "way": name, "steps_a_second": median, "all": [round(each) for each in rates]})
            rows[-1] |= {"cores": arguments.workers, "seconds": arguments.seconds, "commit": describe()["commit"]}
            print(env, name, median, flush=True)
        arguments.out.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
