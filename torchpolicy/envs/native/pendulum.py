"""Pendulum-v1: swing up a pendulum and hold it there."""

from math import pi

import numpy as np
from gymnasium.spaces import Box
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import Row, TensorEnv, cos, sin, square

FASTEST, STRONGEST, SECONDS = 8.0, 2.0, 0.05


class Pendulum(TensorEnv):
    """Hold a pendulum, of mass and length 1, upright by a torque too weak to lift it at once.

    Args:
        g: The acceleration by gravity.
    """

    gymnasium_id = "Pendulum-v1"
    time_limit = 200
    action_space = Box(-STRONGEST, STRONGEST, (1,), np.float32)

    def __init__(self, g: float = 10.0) -> None:
        high = np.array([1.0, 1.0, FASTEST], np.float32)
        self.observation_space = Box(-high, high, dtype=np.float32)
        self.g = g

    def initial(self, rng: np.random.Generator) -> Array:
        high = np.array([pi, 1.0])
        return rng.uniform(-high, high)

    def transition(self, state: Row, action: Tensor) -> Row:
        angle, speed = state
        torque = action[:, 0].clamp(-STRONGEST, STRONGEST)
        speed = speed + (3 * self.g / 2 * sin(angle) + 3.0 * torque) * SECONDS
        speed = speed.clamp(-FASTEST, FASTEST)
        return angle + speed * SECONDS, speed

    def observation(self, state: Row) -> Row:
        angle, speed = state
        return cos(angle), sin(angle), speed

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        angle, speed = state
        torque = action[:, 0].clamp(-STRONGEST, STRONGEST)
        from_upright: Tensor = (angle + pi).remainder(2 * pi) - pi
        costs: Tensor = square(from_upright) + 0.1 * square(speed) + 0.001 * torque.square()
        return -costs
