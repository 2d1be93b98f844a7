"""Step rate of a population in MuJoCo environments on one core, as a share of the rate of bare stepping.

64 candidates, MLPs of 64-64 units around a fresh one, play episodes of at most 1,000 steps with observations
normalised. Bare stepping plays the very same episodes, with the same seeds and actions, in a single environment of
Gymnasium's, and computes no policy. Both alternate in one run, and the figure is the median of the ratios.

    python experiments/benchmarks/mujoco_slots.py [--env HalfCheetah-v5 …]
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from machine import describe

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

GOALS = {
    "HalfCheetah-v5": 1.1,
    "Hopper-v5": 1.3,
    "Swimmer-v5": 1.3,
    "Walker2d-v5": 1.1,
    "Ant-v5": 1.15,
    "Humanoid-v5": 1.0,
}
STEPS = 40_000
"""About how many steps a measurement takes: episodes are added until there are so many."""

POPULATION = 64


class Case:
    """An environment, candidates, and the episodes that they play."""

    def __init__(self, name: str) -> None:
        self.name, self.environment = name, make_environment(name)
        self.policy = tp.MLPPolicy(*self.environment.spaces, hidden=(64, 64), seed=0)
        self.policy.normalize()
        vector = tp.ParamVector(self.policy.net)
        noise = torch.randn(POPULATION, vector.dim, generator=torch.Generator().manual_seed(0))
        self.candidates = vector.read() + vector.initial_scale() * noise
        self.rollout = make_rollout(self.environment, self.policy)
        self.seeds = [0]
        for _ in range(2):  # the first outcome fills the normaliser, too
            outcome = self.rollout.play(self.candidates, self.seeds, observe=True)
            self.policy.normalizer.update(  # type: ignore[union-attr]
                outcome.moments.reshape(-1, *outcome.moments.shape[2:]),  # type: ignore[union-attr]
                outcome.lengths.ravel(),
            )
            self.seeds = list(range(max(1, round(STEPS / outcome.lengths.sum() * len(self.seeds)))))
        self.episodes, steps = self._record()
        assert steps == self.rollout.play(self.candidates, self.seeds).env_steps

    def _record(self) -> tuple[list[tuple[int, np.ndarray[Any, Any]]], int]:
        """Seed and actions of all episodes, taken down in Gymnasium's environments, and their number of steps."""
        taken: list[tuple[int, list[Any]]] = []

        class Taking(gymnasium.Wrapper[Any, Any, Any, Any]):
            def reset(self, **settings: Any) -> Any:
                self.actions: list[Any] = []
                taken.append((settings["seed"], self.actions))
                return super().reset(**settings)

            def step(self, action: Any) -> Any:
                self.actions.append(np.array(action))
                return super().step(action)

        environment = make_environment(lambda: Taking(gymnasium.make(self.name, disable_env_checker=True)))
        taken.clear()
        with make_rollout(environment, self.policy) as rollout:
            rollout.play(self.candidates, self.seeds)
        return [(seed, np.stack(actions)) for seed, actions in taken], sum(len(actions) for _, actions in taken)

    def bare(self) -> float:
        """Steps per second of a single environment."""
        env, steps = gymnasium.make(self.name, disable_env_checker=True), 0
        begin = time.perf_counter()
        for seed, actions in self.episodes:
            env.reset(seed=seed)
            for action in actions:
                env.step(action)
            steps += len(actions)
        return steps / (time.perf_counter() - begin)

    def ours(self) -> float:
        """Steps per second of the rollout."""
        begin = time.perf_counter()
        outcome = self.rollout.play(self.candidates, self.seeds, observe=True)
        return outcome.env_steps / (time.perf_counter() - begin)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--env", nargs="+", default=list(GOALS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mujoco_slots.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.env:
        case = Case(name)
        pairs = [(case.bare(), case.ours()) for _ in range(arguments.repeats)]
        ratio = statistics.median(ours / bare for bare, ours in pairs)
        rows.append(
            {
                "env": name,
                "bare": round(statistics.median(bare for bare, _ in pairs)),
                "ours": round(statistics.median(ours for _, ours in pairs)),
                "ratio": round(ratio, 3),
                "ratios": [round(ours / bare, 3) for bare, ours in pairs],
                "goal": GOALS.get(name),
            }
        )
        print(rows[-1], case.rollout.seconds, flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
