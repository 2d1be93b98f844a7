"""Acrobot-v1: Sutton (1996), "Generalization in reinforcement learning"; the book's version."""

from math import pi

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.envs.tensor import Row, TensorEnv, cos, sin, square

SECONDS, GRAVITY, LINK_COM = 0.2, 9.8, 0.5
FASTEST_1, FASTEST_2 = 4 * pi, 9 * pi


class Acrobot(TensorEnv):
    """Swing two links, of mass, length and inertia 1, above a line by torque at the joint between them."""

    gymnasium_id = "Acrobot-v1"
    bit_equal = True
    time_limit = 500
    reward_threshold = -100.0
    action_space = Discrete(3)

    def __init__(self) -> None:
        high = np.array([1, 1, 1, 1, FASTEST_1, FASTEST_2], np.float32)
        self.observation_space = Box(-high, high, dtype=np.float32)

    def initial(self, rng: np.random.Generator) -> Array:
        return rng.uniform(-0.1, 0.1, size=4).astype(np.float32).astype(np.float64)

    def transition(self, state: Row, action: Tensor) -> Row:
        torque = action.to(state[0].dtype) - 1
        k1 = _derivative(state, torque)  # Runge-Kutta of fourth order
        k2 = _derivative(_along(state, SECONDS / 2.0, k1), torque)
        k3 = _derivative(_along(state, SECONDS / 2.0, k2), torque)
        k4 = _derivative(_along(state, SECONDS, k3), torque)
        slopes = tuple(a + 2 * b + 2 * c + d for a, b, c, d in zip(k1, k2, k3, k4, strict=True))
        theta1, theta2, speed1, speed2 = _along(state, SECONDS / 6.0, slopes)
        return (_wrap(theta1), _wrap(theta2), speed1.clamp(-FASTEST_1, FASTEST_1), speed2.clamp(-FASTEST_2, FASTEST_2))

    def observation(self, state: Row) -> Row:
        theta1, theta2, speed1, speed2 = state
        return cos(theta1), sin(theta1), cos(theta2), sin(theta2), speed1, speed2

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        return self.terminal(next_state).to(state[0].dtype) - 1

    def terminal(self, state: Row) -> Tensor:
        theta1, theta2 = state[0], state[1]
        return -cos(theta1) - cos(theta2 + theta1) > 1.0


def _derivative(state: Row, torque: Tensor) -> Row:
    """The derivative of the state, computed in the order in which Gymnasium does."""
    theta1, theta2, speed1, speed2 = state
    m, length, c, inertia = 1.0, 1.0, LINK_COM, 1.0
    cos2, sin2 = cos(theta2), sin(theta2)
    d1 = m * c**2 + m * (length**2 + c**2 + 2 * length * c * cos2) + inertia + inertia
    d2 = m * (c**2 + length * c * cos2) + inertia
    phi2 = m * c * GRAVITY * cos(theta1 + theta2 - pi / 2.0)
    phi1 = (
        -m * length * c * square(speed2) * sin2
        - 2 * m * length * c * speed2 * speed1 * sin2
        + (m * c + m * length) * GRAVITY * cos(theta1 - pi / 2)
        + phi2
    )
    acceleration2 = (torque + d2 / d1 * phi1 - m * length * c * square(speed1) * sin2 - phi2) / (
        m * c**2 + inertia - square(d2) / d1
    )
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return speed1, speed2, acceleration1, acceleration2


def _along(state: Row, step: float, slope: Row) -> Row:
    return tuple(number + step * change for number, change in zip(state, slope, strict=True))


def _wrap(angle: Tensor) -> Tensor:
    """The angle in [-pi, pi], brought there by whole turns: at most two, for a step is too short for more."""
    for _ in range(2):
        angle = torch.where(angle > pi, angle - 2 * pi, angle)
        angle = torch.where(angle < -pi, angle + 2 * pi, angle)
    return angle
