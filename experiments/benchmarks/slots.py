"""Share of the time in which slots are at work, if episodes last from 50 to 500 steps and each slot plays about 32.

Ours refills a slot as soon as its episode has ended: the rollout for Python environments in the same step, the rollout
for tensors between chunks of steps. It is compared with playing the same lengths in batches, each with as many episodes
as there are slots, which wait for their longest episode. The tail, when the queue is empty and the last episodes end,
is counted.

python experiments/benchmarks/slots.py
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from machine import describe
from torch import Tensor

import torchpolicy as tp
from torchpolicy.base.types import Array
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.tensor import Row
from torchpolicy.rollout.make import make_rollout

SHORTEST, LONGEST = 50, 500
GOAL = 0.95
CASES = (("Python", 32, False), ("tensors", 64, False), ("tensors", 1024, False), ("tensors, compiled", 1024, True))
"""The rollout, its number of slots, and whether it is compiled."""


class Unequal(gymnasium.Env[Array, np.int64]):
    """Ends after a number of steps that is drawn at the start; the observation is how many are left."""

    observation_space = Box(-np.inf, np.inf, (1,))
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Draw the length."""
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(SHORTEST, LONGEST + 1))
        return np.array([self.left], np.float32), {}

    def step(self, action: np.int64) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Count one step."""
        self.left -= 1
        return np.array([self.left], np.float32), 1.0, self.left == 0, False, {}


class UnequalOnTensors(tp.TensorEnv):
    """The same on tensors."""

    observation_space = Box(-np.inf, np.inf, (1,))
    action_space = Discrete(2)
    time_limit = LONGEST

    def initial(self, rng: np.random.Generator) -> Array:
        """Draw the length."""
        return np.array([float(rng.integers(SHORTEST, LONGEST + 1))])

    def transition(self, state: Row, action: Tensor) -> Row:
        """Count one step."""
        return (state[0] - 1,)

    def observation(self, state: Row) -> Row:
        """The number of steps that are left."""
        return state

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        """A reward of 1 for each step."""
        return torch.ones_like(state[0])

    def terminal(self, state: Row) -> Tensor:
        """Whether no step is left."""
        return state[0] < 0.5


def waiting(lengths: Array, slots: int) -> float:
    """Share of slots at work if each batch of `slots` episodes waits for its longest; lengths is (N,)."""
    batches = [lengths[begin : begin + slots] for begin in range(0, len(lengths), slots)]
    return float(lengths.sum() / (slots * sum(int(batch.max()) for batch in batches)))


def measure(slots: int, compile: bool, on_tensors: bool, depth: int, seed: int) -> dict[str, float]:  # noqa: A002
    """Play about `depth` episodes in each slot once, and measure the share of slots at work."""
    environment = make_environment(UnequalOnTensors if on_tensors else Unequal)
    policy = tp.LinearPolicy(*environment.spaces, seed=0)
    seeds = list(range(seed * 1_000_000, seed * 1_000_000 + slots * depth))
    with make_rollout(environment, policy, slots=slots, compile=compile) as rollout:
        outcome = rollout.play(tp.ParamVector(policy.net).read().unsqueeze(0), seeds)
    lengths = outcome.lengths[0]
    return {
        "ours": float(outcome.slot_utilisation),
        "waiting": waiting(lengths, slots),
        "longest / shortest": float(lengths.max() / lengths.min()),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--depth", type=int, default=32, help="number of episodes per slot")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "slots.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, slots, compiled in CASES:
        taken = [measure(slots, compiled, name != "Python", arguments.depth, seed) for seed in range(arguments.repeats)]
        middle = {key: median(each[key] for each in taken) for key in taken[0]}
        rows.append(
            {
                "environment": name,
                "slots": slots,
                "episodes a slot": arguments.depth,
                "ours": round(middle["ours"], 3),
                "worst": round(min(each["ours"] for each in taken), 3),
                "waiting for the longest": round(middle["waiting"], 3),
                "longest / shortest": round(middle["longest / shortest"], 1),
                "reached": middle["ours"] >= GOAL,
            }
        )
        print(rows[-1], flush=True)
    arguments.out.write_text(json.dumps({**describe(), "goal": GOAL, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
