"""MountainCarContinuous-v0: the same valley, with a force of any size up to 1, which costs."""

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import Row, TensorEnv, cos

LEFT, RIGHT, FASTEST, GOAL, POWER, GRAVITY = -1.2, 0.6, 0.07, 0.45, 0.0015, 0.0025


class MountainCarContinuous(TensorEnv):
    """Drive a weak car out of a valley, for 100 less the square of the force spent.

    From the second step on, the state and the arithmetic are float32 in Gymnasium; a third number of the state says
    whether there was a step.

    Args:
        goal_velocity: The least velocity at the goal that counts as arriving.
    """

    gymnasium_id = "MountainCarContinuous-v0"
    bit_equal = True
    time_limit = 999
    reward_threshold = 90.0
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, goal_velocity: float = 0) -> None:
        low, high = np.array([LEFT, -FASTEST], np.float32), np.array([RIGHT, FASTEST], np.float32)
        self.observation_space = Box(low, high, dtype=np.float32)
        self.goal_velocity = goal_velocity

    def initial(self, rng: np.random.Generator) -> Array:
        return np.array([rng.uniform(-0.6, -0.4), 0.0, 0.0])

    def transition(self, state: Row, action: Tensor) -> Row:
        position, velocity, moved = state
        force = action[:, 0].clamp(-1, 1) * POWER
        first, later = _move(position, velocity, force), _move(position.float(), velocity.float(), force)
        position, velocity = (
            torch.where(moved > 0, b.to(moved.dtype), a.float().to(moved.dtype))
            for a, b in zip(first, later, strict=True)
        )
        return position, velocity, torch.ones_like(moved)

    def observation(self, state: Row) -> Row:
        return state[:2]

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        arrived = 100.0 * self.terminal(next_state).to(state[0].dtype)
        return arrived - action[:, 0].to(state[0].dtype).square() * 0.1

    def terminal(self, state: Row) -> Tensor:
        return (state[0] >= GOAL) & (state[1] >= self.goal_velocity)


def _move(position: Tensor, velocity: Tensor, force: Tensor) -> tuple[Tensor, Tensor]:
    """Position and velocity after a step, computed in their own dtype."""
    slope = (GRAVITY * cos((3 * position).double())).float()
    velocity = (velocity + (force - slope)).clamp(-FASTEST, FASTEST)
    position = (position + velocity).clamp(LEFT, RIGHT)
    return position, torch.where((position == LEFT) & (velocity < 0), 0.0, velocity)
