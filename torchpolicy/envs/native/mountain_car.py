"""MountainCar-v0: Moore (1990), "Efficient memory-based learning for robot control"."""

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import Row, TensorEnv, cos

LEFT, RIGHT, FASTEST, GOAL, FORCE, GRAVITY = -1.2, 0.6, 0.07, 0.5, 0.001, 0.0025


class MountainCar(TensorEnv):
    """Drive a weak car out of a valley by swinging up its slopes.

    Args:
        goal_velocity: Least velocity that counts as arriving.
    """

    gymnasium_id = "MountainCar-v0"
    bit_equal = True
    time_limit = 200
    reward_threshold = -110.0
    action_space = Discrete(3)

    def __init__(self, goal_velocity: float = 0) -> None:
        low, high = np.array([LEFT, -FASTEST], np.float32), np.array([RIGHT, FASTEST], np.float32)
        self.observation_space = Box(low, high, dtype=np.float32)
        self.goal_velocity = goal_velocity

    def initial(self, rng: np.random.Generator) -> Array:
        return np.array([rng.uniform(-0.6, -0.4), 0.0])

    def transition(self, state: Row, action: Tensor) -> Row:
        position, velocity = state
        velocity = velocity + ((action.to(velocity.dtype) - 1) * FORCE + cos(3 * position) * -GRAVITY)
        velocity = velocity.clamp(-FASTEST, FASTEST)
        position = (position + velocity).clamp(LEFT, RIGHT)
        velocity = torch.where((position == LEFT) & (velocity < 0), 0.0, velocity)
        return position, velocity

    def observation(self, state: Row) -> Row:
        return state

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        return -torch.ones_like(state[0])

    def terminal(self, state: Row) -> Tensor:
        return (state[0] >= GOAL) & (state[1] >= self.goal_velocity)
