"""Inverted pendulums: one pole, or two."""

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import Robot, Where


class Pendulum(Robot):
    """InvertedPendulum. Reward: 1 until the pole falls."""

    def observe(self, where: Where) -> Array:
        return np.concatenate((self.qpos[where], self.qvel[where]), 1)

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        observations = self.observe(where)
        terminated = ~np.isfinite(observations).all(1) | (np.abs(observations[:, 1]) > 0.2)
        return (~terminated).astype(float), terminated


class DoublePendulum(Robot):
    """InvertedDoublePendulum. Powers, sines and cosines of arrays round in other ways, so Gymnasium computes them."""

    def keep(self) -> Array:
        """The observation, the reward, and whether the tip is too low."""
        env = self.env
        x, _, y = env.data.site_xpos[0]
        terminated = bool(y <= 1)
        reward, _ = env._get_rew(x, y, terminated)
        return np.concatenate((env._get_obs(), (reward, terminated)))

    def observe(self, where: Where) -> Array:
        observations: Array = self.kept[where, :-2]
        return observations

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        return self.kept[where, -2], self.kept[where, -1] > 0
