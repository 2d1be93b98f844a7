"""A T-maze with distracting lights, written twice: on tensors and for Gymnasium, with the same bits.

A light at the start says which way to turn at the end of a corridor. On the way other lights flicker at random, which
mean nothing, so a policy has to remember the first one alone (after Bakker 2001, "Reinforcement learning with long
short-term memory"). The flicker is what :meth:`torchpolicy.TensorEnv.uniform` is for: it happens inside the episode.

python experiments/cue.py train      trains a GRU, and prints its score
python experiments/cue.py speed      prints steps per second of both forms, under a linear policy
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor
from twins import Drawn, main

import torchpolicy as tp

FORWARD, UP = 0, 1


class Cue(tp.TensorEnv):
    """Walk along a corridor, and turn where the light at its start has pointed to.

    An observation is the light (1 or -1: in the first cell the one that counts, later a flicker or 0), whether this is
    the first cell, and whether it is the junction. Actions are forward, up and down. The reward is 1 for the right
    turn; a turn in the corridor has no effect.

    Args:
        length: Cells from the start to the junction.
        flicker: Probability of a light in each further cell.
    """

    observation_space = Box(-1, 1, (3,), np.float32)
    action_space = Discrete(3)
    reward_threshold = 0.95

    def __init__(self, length: int = 6, flicker: float = 0.5) -> None:
        self.length, self.flicker, self.time_limit = length, flicker, 2 * length + 1

    def initial(self, rng: np.random.Generator) -> Any:
        side = 2.0 * rng.integers(2) - 1
        return np.array([0.0, side, side, 0.0, *self.new_key(rng)])  # cell, side, light, whether it has turned

    def transition(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        cell, side, _, turned, *key = state
        there = cell >= self.length
        (whether, which), after = self.uniform(key, 2)
        light = torch.where(whether < self.flicker, torch.where(which < 0.5, 1.0, -1.0).to(cell.dtype), 0.0)
        turned = torch.where(there & (action != FORWARD), 1.0, turned)
        return cell + ((action == FORWARD) & ~there), side, light, turned, *after

    def observation(self, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        cell, side, light, *_ = state
        first = cell == 0
        return torch.where(first, side, light), first.to(cell.dtype), (cell >= self.length).to(cell.dtype)

    def reward(self, state: tuple[Tensor, ...], action: Tensor, next_state: tuple[Tensor, ...]) -> Tensor:
        right = torch.where(action == UP, 1.0, -1.0) == state[1]
        return (self.terminal(next_state) & right).to(state[0].dtype)

    def terminal(self, state: tuple[Tensor, ...]) -> Tensor:
        return state[3] > 0


class GymCue(gymnasium.Env[Any, Any]):
    """The same, as one would write it for Gymnasium; its flicker is drawn from the same key."""

    observation_space, action_space = Cue.observation_space, Cue.action_space

    def __init__(self, length: int = 6, flicker: float = 0.5) -> None:
        self.length, self.flicker, self.time_limit = length, flicker, 2 * length + 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._cell, self._side, self._time = 0, int(2 * self.np_random.integers(2) - 1), 0
        self._drawn = Drawn(self.np_random)
        self._light = self._side
        return self._seen(), {}

    def _seen(self) -> Any:
        light = self._side if self._cell == 0 else self._light
        return np.array([light, self._cell == 0, self._cell >= self.length], np.float32)

    def step(self, action: Any) -> Any:
        there = self._cell >= self.length
        over = there and action != FORWARD
        right = (1 if action == UP else -1) == self._side
        self._cell += int(action == FORWARD and not there)
        self._light = 0
        if self._drawn.number(self._time, 0) < self.flicker:
            self._light = 1 if self._drawn.number(self._time, 1) < 0.5 else -1
        self._time += 1
        return self._seen(), float(over and right), over, self._time >= self.time_limit, {}


def train(**settings: Any) -> tp.Result:
    """A small GRU, with SNES."""
    given: dict[str, Any] = {"policy": "gru", "policy_args": {"hidden": 8}, "episodes": 8, "target": 0.95, "seed": 0}
    return tp.train(Cue, "snes", **{**given, "total_steps": 3_000_000, **settings})


if __name__ == "__main__":
    main(__doc__, train, Cue, GymCue)
