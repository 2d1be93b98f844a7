"""Catch on 10 x 10 pixels, written twice: on tensors and for Gymnasium, with the same bits.

Fruit falls from the top, one row a step, and a basket three pixels wide moves along the bottom. A fruit that lands in
the basket earns 1, one beside it costs 1, and the next one begins in a random column: ten in an episode. The policy
sees the picture, 0 or 255 in each pixel. It is what a game of pixels on tensors looks like: an image is drawn for all
slots at once, and whatever is random inside an episode comes from its key.

python experiments/catch.py train      trains a linear policy on the pixels, and prints its score
python experiments/catch.py speed      prints steps per second of both forms, under a linear policy
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor
from twins import Drawn, main

import torchpolicy as tp

SIZE, FRUIT, HALF = 10, 10, 1
"""Rows and columns of the picture, fruit in an episode, and pixels of the basket on either side of its middle."""


class Catch(tp.TensorEnv):
    """Move the basket left, not at all or right, and catch the fruit.

    A state is the row and column of the fruit, the column of the basket, and the key of the random numbers.
    """

    observation_space = Box(0, 255, (SIZE, SIZE), np.uint8)
    action_space = Discrete(3)
    time_limit = (SIZE - 1) * FRUIT
    reward_threshold = 9.0

    def initial(self, rng: np.random.Generator) -> Any:
        return np.array([0.0, rng.integers(SIZE), rng.integers(HALF, SIZE - HALF), *self.new_key(rng)])

    def transition(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        row, column, basket, *key = state
        (number,), drawn = self.uniform(key, 1)
        landed = row + 1 >= SIZE - 1
        fresh = (number * SIZE).floor()
        basket = (basket + action - 1).clamp(HALF, SIZE - 1 - HALF)
        return torch.where(landed, 0.0, row + 1), torch.where(landed, fresh, column), basket, *drawn

    def observation(self, state: tuple[Tensor, ...]) -> Tensor:
        row, column, basket = (number.view(-1, 1, 1) for number in state[:3])
        line = torch.arange(SIZE, dtype=row.dtype, device=row.device)
        down, across = line.view(1, -1, 1), line.view(1, 1, -1)
        fruit = (down == row) & (across == column)
        caught_in = (down == SIZE - 1) & ((across - basket).abs() <= HALF)
        return 255 * (fruit | caught_in).to(torch.uint8)

    def reward(self, state: tuple[Tensor, ...], action: Tensor, next_state: tuple[Tensor, ...]) -> Tensor:
        landed = state[0] + 1 >= SIZE - 1
        caught = (state[1] - next_state[2]).abs() <= HALF
        return torch.where(landed, torch.where(caught, 1.0, -1.0).to(state[0].dtype), 0.0)


class GymCatch(gymnasium.Env[Any, Any]):
    """The same, as one would write it for Gymnasium; its columns are drawn from the same key."""

    observation_space, action_space = Catch.observation_space, Catch.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._row, self._time = 0, 0
        self._column = int(self.np_random.integers(SIZE))
        self._basket = int(self.np_random.integers(HALF, SIZE - HALF))
        self._drawn = Drawn(self.np_random)
        return self._seen(), {}

    def _seen(self) -> Any:
        picture = np.zeros((SIZE, SIZE), np.uint8)
        picture[self._row, self._column] = 255
        picture[-1, self._basket - HALF : self._basket + HALF + 1] = 255
        return picture

    def step(self, action: Any) -> Any:
        self._basket = min(max(self._basket + int(action) - 1, HALF), SIZE - 1 - HALF)
        self._row += 1
        reward = 0.0
        if self._row == SIZE - 1:
            reward = 1.0 if abs(self._column - self._basket) <= HALF else -1.0
            self._row, self._column = 0, int(self._drawn.number(self._time, 0) * SIZE)
        self._time += 1
        return self._seen(), reward, False, self._time >= Catch.time_limit, {}


def train(**settings: Any) -> tp.Result:
    """A linear policy on the pixels, with SNES."""
    given: dict[str, Any] = {"policy": "linear", "episodes": 4, "target": 9.0, "seed": 0, "std": 0.3}
    return tp.train(Catch, "snes", **{**given, "total_steps": 5_000_000, **settings})


if __name__ == "__main__":
    main(__doc__, train, Catch, GymCatch)
