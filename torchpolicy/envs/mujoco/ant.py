"""Ant."""

from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import FORCE_AND_TORQUE, Robot, Where, cost_of


class Ant(Robot):
    """Reward: speed, and a bonus while the torso is neither too low nor too high, less costs of control and contact."""

    forces = True

    def __init__(self, env: Any, count: int) -> None:
        self._body = env.data.body(env._main_body).id
        super().__init__(env, count)
        self._skipped = env.observation_structure["skipped_qpos"]

    def keep(self) -> Array:
        """External forces on the bodies, and where the main body is."""
        data = self.env.data
        return np.concatenate((data.cfrc_ext.ravel(), data.xpos[self._body, :1]))

    def place(self, where: Where) -> Array:
        place: Array = self.kept[where, -1]
        return place

    def observe(self, where: Where) -> Array:
        parts = [self.qpos[where, self._skipped :], self.qvel[where]]
        if self.env._include_cfrc_ext_in_observation:
            parts.append(self._contact_forces(where)[:, FORCE_AND_TORQUE:])
        return np.concatenate(parts, 1)

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        env, healthy = self.env, self._healthy(where)
        forward = self.velocity(where, before) * env._forward_reward_weight
        contact_cost = env._contact_cost_weight * np.square(self._contact_forces(where)).sum(1)
        reward = forward + healthy * env._healthy_reward - (cost_of(env._ctrl_cost_weight, actions) + contact_cost)
        return reward, ~healthy & bool(env._terminate_when_unhealthy)

    def _contact_forces(self, where: Where) -> Array:
        """External forces (n, bodies * 6), clipped."""
        forces: Array = np.clip(self.kept[where, :-1], *self.env._contact_force_range)
        return forces

    def _healthy(self, where: Where) -> Array:
        low, high = self.env._healthy_z_range
        z = self.qpos[where, 2]
        finite = np.isfinite(self.qpos[where]).all(1) & np.isfinite(self.qvel[where]).all(1)
        healthy: Array = finite & (low <= z) & (z <= high)
        return healthy
