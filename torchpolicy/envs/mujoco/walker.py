"""Robots that fall: Hopper and Walker2d."""

from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import Robot, Where, cost_of


class Walker(Robot):
    """Reward: speed, and a bonus while the robot is upright, less the cost of control."""

    def __init__(self, env: Any, count: int) -> None:
        super().__init__(env, count)
        self._skipped = env.observation_structure["skipped_qpos"]
        self._state_range = getattr(env, "_healthy_state_range", None)  # only Hopper has one

    def observe(self, where: Where) -> Array:
        return np.concatenate((self.qpos[where, self._skipped :], np.clip(self.qvel[where], -10, 10)), 1)

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        env, healthy = self.env, self._healthy(where)
        forward = env._forward_reward_weight * self.velocity(where, before)
        reward = forward + healthy * env._healthy_reward - cost_of(env._ctrl_cost_weight, actions)
        return reward, ~healthy & bool(env._terminate_when_unhealthy)

    def _healthy(self, where: Where) -> Array:
        """Whether robots are upright, (n)."""
        (low_z, high_z), (low_angle, high_angle) = self.env._healthy_z_range, self.env._healthy_angle_range
        z, angle = self.qpos[where, 1], self.qpos[where, 2]
        healthy: Array = (low_z < z) & (z < high_z) & (low_angle < angle) & (angle < high_angle)
        if self._state_range is not None:
            low, high = self._state_range
            state = np.concatenate((self.qpos[where, 2:], self.qvel[where]), 1)
            healthy &= ((low < state) & (state < high)).all(1)
        return healthy
