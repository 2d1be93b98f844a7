"""Humanoid and HumanoidStandup."""

from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import FORCE_AND_TORQUE, Robot, Where, cost_of, never


class Figure(Robot):
    """What both have in common: what they observe.

    What is kept of a step are its parts of the observation, the external forces, and the center of mass.
    """

    forces = True

    def __init__(self, env: Any, count: int) -> None:
        self._mass = env.model.body_mass.sum()
        super().__init__(env, count)
        self._skipped = 2 * bool(env._exclude_current_positions_from_observation)
        data = env.data
        ends = np.cumsum([data.cinert[1:].size, data.cvel[1:].size, data.qfrc_actuator[6:].size, data.cfrc_ext.size])
        parts = [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
        self._forces = parts[-1]
        parts[-1] = slice(ends[2] + FORCE_AND_TORQUE, ends[3])  # the world's are not observed
        included = (
            env._include_cinert_in_observation,
            env._include_cvel_in_observation,
            env._include_qfrc_actuator_in_observation,
            env._include_cfrc_ext_in_observation,
        )
        self._observed = [part for part, is_in in zip(parts, included, strict=True) if is_in is True]

    def keep(self) -> Array:
        model, data = self.env.model, self.env.data
        center = np.einsum("b,bj->j", model.body_mass, data.xipos) / self._mass
        forces = data.cfrc_ext.ravel()
        inertia, velocities = data.cinert[1:].ravel(), data.cvel[1:].ravel()
        return np.concatenate((inertia, velocities, data.qfrc_actuator[6:], forces, center[:1]))

    def place(self, where: Where) -> Array:
        place: Array = self.kept[where, -1]
        return place

    def observe(self, where: Where) -> Array:
        state = self.qpos[where, self._skipped :], self.qvel[where]
        return np.concatenate((*state, *(self.kept[where, part] for part in self._observed)), 1)

    def impact(self, where: Where, weight: float, limits: tuple[float, float]) -> Array:
        """The cost (n) of external forces, within limits."""
        impact: Array = np.clip(weight * np.square(self.kept[where, self._forces]).sum(1), *limits)
        return impact


class Humanoid(Figure):
    """Reward: speed, and a bonus while the torso is neither too low nor too high, less costs of control and contact."""

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        env, (low, high) = self.env, self.env._healthy_z_range
        z = self.qpos[where, 2]
        healthy = (low < z) & (z < high)
        forward = env._forward_reward_weight * self.velocity(where, before)
        control = cost_of(env._ctrl_cost_weight, self.ctrl[where])
        contact = self.impact(where, env._contact_cost_weight, env._contact_cost_range)
        reward = forward + healthy * env._healthy_reward - (control + contact)
        return reward, ~healthy & bool(env._terminate_when_unhealthy)


class Standup(Figure):
    """Reward: height, less costs of control and impact."""

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        env = self.env
        height = (self.qpos[where, 2] - 0) / self.model.opt.timestep
        control = cost_of(env._ctrl_cost_weight, self.ctrl[where])
        reward = height - control - self.impact(where, env._impact_cost_weight, env._impact_cost_range) + 1
        return reward, never(actions)
