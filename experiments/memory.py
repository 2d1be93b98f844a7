"""What policies that remember can do and others cannot: a T-maze, and two tasks whose velocities are hidden.

In the T-maze (after Bakker 2001, "Reinforcement learning with long short-term memory"), a light at the start says which
way to turn at the end of a corridor. Only moving forward leads along it, and the turn ends the episode, with a reward
of 1 if it is right. In the others, CartPole-v1 and LunarLanderContinuous-v3, all velocities are left out. Every policy
has the same search, SNES with its defaults and episodes by need, observations normalised, and the same budget; a score
is that of 100 test episodes.

python experiments/memory.py run --task t-maze-10 cartpole --policy gru mlp     adds the rows that are not there yet
python experiments/memory.py table                                                 prints the table
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import rows
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "memory.json"
FORWARD, UP = 0, 1


class TMaze(tp.TensorEnv):
    """Walk along a corridor, and turn where a light at its start has pointed to.

    An observation is the light, 1 or -1 in the first cell and 0 elsewhere, and whether this is the junction. Actions
    are forward, up and down. The reward is 1 for the right turn; a turn in the corridor has no effect.

    Args:
        length: Cells from the start to the junction.
    """

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(3)
    reward_threshold = 0.95

    def __init__(self, length: int = 10) -> None:
        self.length = length
        self.time_limit = 2 * length + 1

    def initial(self, rng: np.random.Generator) -> Any:
        return np.array([0.0, 2.0 * rng.integers(2) - 1, 0.0])

    def transition(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        cell, light, turned = state
        there = cell >= self.length
        forward = (action == FORWARD) & ~there
        return cell + forward, light, torch.where(there & (action != FORWARD), 1.0, turned)

    def observation(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        cell, light, _ = state
        return torch.where(cell == 0, light, 0.0), (cell >= self.length).to(cell.dtype)

    def reward(self, state: tuple[Tensor, ...], action: Tensor, next_state: tuple[Tensor, ...]) -> Tensor:
        right = torch.where(action == UP, 1.0, -1.0) == state[1]
        return (self.terminal(next_state) & right).to(state[0].dtype)

    def terminal(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[2] > 0


def seeing(env: str, kept: tuple[int, ...], **settings: Any) -> gymnasium.Env[Any, Any]:
    """An environment of which only some numbers are seen."""
    made = gymnasium.make(env, **settings)
    place = list(kept)
    space = Box(-np.inf, np.inf, (len(place),), np.float32)
    return gymnasium.wrappers.TransformObservation(made, lambda obs: np.asarray(obs, np.float32)[place], space)


TASKS: dict[str, dict[str, Any]] = {
    "t-maze-10": {"env": TMaze, "env_args": {"length": 10}, "threshold": 0.95, "total_steps": 2_000_000},
    "t-maze-50": {"env": TMaze, "env_args": {"length": 50}, "threshold": 0.95, "total_steps": 3_000_000},
    "cartpole": {
        "env": partial(seeing, "CartPole-v1", (0, 2)),
        "threshold": 475.0,
        "total_steps": 500_000,
    },
    "lander": {
        "env": partial(seeing, "LunarLanderContinuous-v3", (0, 1, 4, 6, 7)),
        "threshold": 200.0,
        "total_steps": 3_000_000,
    },
}
POLICIES: dict[str, dict[str, Any]] = {
    "gru": {"policy": "gru", "policy_args": {"hidden": 16}},
    "gru-50": {"policy": "gru", "policy_args": {"hidden": 16, "horizon": 50}},
    "lstm": {"policy": "lstm", "policy_args": {"hidden": 16}},
    "rnn": {"policy": "rnn", "policy_args": {"hidden": 16}},
    "mlp": {"policy": "mlp", "policy_args": {"hidden": (32, 32)}},
}


def run(task: str, policy: str, seed: int) -> rows.Row:
    """One run, as a row. Seconds are processor time, because machines are shared."""
    processor = time.process_time()
    about = dict(TASKS[task])
    env, threshold = about.pop("env"), about.pop("threshold")
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            env,
            "snes",
            seed=seed,
            preset=False,
            episodes="auto",
            normalize_observations=True,
            target=threshold,
            log_dir=folder,
            **about,
            **POLICIES[policy],
        )
    return {
        **{"task": task, "policy": policy, "seed": seed, "threshold": threshold},
        "mean": result.evaluation.mean,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
    }


def table() -> None:
    """A Markdown table of all tasks and policies."""
    heads = ["task", "threshold", "policy", "IQM", "95 % interval", "worst seed", "env steps", "seeds"]
    print(f"| {' | '.join([*heads, 'seeds at threshold'])} |\n|{'---|' * (len(heads) + 1)}")
    for task in TASKS:
        for policy in POLICIES:
            mine = [row for row in rows.reported(RESULTS) if (row["task"], row["policy"]) == (task, policy)]
            if mine:
                threshold = mine[0]["threshold"]
                reached = sum(row["mean"] >= threshold for row in mine)
                found = rows.cells(mine, 2 if threshold < 1 else 1)
                print(f"| {' | '.join([task, f'{threshold:g}', policy, *found, str(reached)])} |")


if __name__ == "__main__":
    rows.main(__doc__, RESULTS, run, table, seeds=10, defaults={"policy": ("gru", "mlp")}, task=TASKS, policy=POLICIES)
