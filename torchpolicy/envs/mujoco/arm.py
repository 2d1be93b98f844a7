"""Arms that reach for something: Reacher and Pusher.

Norms, sines and cosines of arrays round in other ways than those of one slot, so Gymnasium computes these.
"""

from typing import Any

import numpy as np

from torchpolicy.base.types import Array
from torchpolicy.envs.mujoco.base import Robot, Where, never


class Reacher(Robot):
    """Reward: the negative distance to the target, less the cost of control."""

    def keep(self) -> Array:
        """The observation, and the reward for the distance."""
        env = self.env
        distance = np.linalg.norm(env.get_body_com("fingertip") - env.get_body_com("target"))
        return np.concatenate((env._get_obs(), (-distance * env._reward_dist_weight,)))

    def observe(self, where: Where) -> Array:
        observations: Array = self.kept[where, :-1]
        return observations

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        return self.kept[where, -1] + _control(actions, self.env), never(actions)


class Pusher(Robot):
    """Reward: the negative distances of tip and object, and of object and goal, less the cost of control."""

    def keep(self) -> Array:
        """The observation, and the rewards for both distances."""
        env = self.env
        thing = env.get_body_com("object")
        near = np.linalg.norm(thing - env.get_body_com("tips_arm"))
        far = np.linalg.norm(thing - env.get_body_com("goal"))
        return np.concatenate((env._get_obs(), (-near * env._reward_near_weight, -far * env._reward_dist_weight)))

    def observe(self, where: Where) -> Array:
        observations: Array = self.kept[where, :-2]
        return observations

    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        near, far = self.kept[where, -2], self.kept[where, -1]
        return far + _control(actions, self.env) + near, never(actions)


def _control(actions: Array, env: Any) -> Array:
    """The reward (n) for actions (n, A), in their dtype."""
    reward: Array = -np.square(actions).sum(1) * env._reward_control_weight
    return reward
