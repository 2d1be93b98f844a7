"""Robots that are rewarded for speed and do not fall: HalfCheetah and Swimmer."""

from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import Robot, Where, cost_of, never


class Runner(Robot):
    """Reward: speed less the cost of control."""

    def __init__(self, env: Any, count: int) -> None:
        super().__init__(env, count)
        self._skipped = env.observation_structure["skipped_qpos"]

    def observe(self, where: Where) -> Array:
        return np.concatenate((self.qpos[where, self._skipped :], self.qvel[where]), 1)

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        forward = self.env._forward_reward_weight * self.velocity(where, before)
        return forward - cost_of(self.env._ctrl_cost_weight, actions), never(actions)
