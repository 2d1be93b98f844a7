"""CartPole-v1: Barto, Sutton & Anderson (1983), "Neuronlike adaptive elements that can solve difficult problems"."""

from math import pi

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import Row, TensorEnv, cos, sin

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FARTHEST, STEEPEST = 2.4, 12 * 2 * pi / 360


class CartPole(TensorEnv):
    """Balance a pole on a cart by pushing it left or right.

    Args:
        sutton_barto_reward: Whether a step is worth 0, and the last one -1, instead of 1 for every step.
    """

    gymnasium_id = "CartPole-v1"
    bit_equal = True
    time_limit = 500
    reward_threshold = 475.0
    action_space = Discrete(2)

    def __init__(self, sutton_barto_reward: bool = False) -> None:
        high = np.array([2 * FARTHEST, np.inf, 2 * STEEPEST, np.inf], np.float32)
        self.observation_space = Box(-high, high, dtype=np.float32)
        self.sutton_barto_reward = sutton_barto_reward

    def initial(self, rng: np.random.Generator) -> Array:
        return rng.uniform(-0.05, 0.05, size=4)

    def transition(self, state: Row, action: Tensor) -> Row:
        x, x_dot, theta, theta_dot = state
        total, moment = CART + POLE, POLE * HALF_LENGTH
        force = torch.where(action == 1, FORCE, -FORCE)
        costheta, sintheta = cos(theta), sin(theta)
        temp = (force + moment * theta_dot.square() * sintheta) / total
        thetaacc = (GRAVITY * sintheta - costheta * temp) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE * costheta.square() / total)
        )
        xacc = temp - moment * thetaacc * costheta / total
        return x + SECONDS * x_dot, x_dot + SECONDS * xacc, theta + SECONDS * theta_dot, theta_dot + SECONDS * thetaacc

    def observation(self, state: Row) -> Row:
        return state

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        if self.sutton_barto_reward:
            return -self.terminal(next_state).to(state[0].dtype)
        return torch.ones_like(state[0])

    def terminal(self, state: Row) -> Tensor:
        return (state[0].abs() > FARTHEST) | (state[2].abs() > STEEPEST)
