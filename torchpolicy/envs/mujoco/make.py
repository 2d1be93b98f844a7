"""Which of Gymnasium's MuJoCo environments have slots that share one data structure."""

import inspect
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from torchpolicy.envs.mujoco.ant import Ant
from torchpolicy.envs.mujoco.arm import Pusher, Reacher
from torchpolicy.envs.mujoco.base import Robot
from torchpolicy.envs.mujoco.humanoid import Humanoid, Standup
from torchpolicy.envs.mujoco.pendulum import DoublePendulum, Pendulum
from torchpolicy.envs.mujoco.runner import Runner
from torchpolicy.envs.mujoco.slots import MujocoSlots
from torchpolicy.envs.mujoco.walker import Walker

__all__ = ["MujocoSlots", "robot_of"]

ROBOTS: dict[str, type[Robot]] = {
    "ant_v5.AntEnv": Ant,
    "half_cheetah_v5.HalfCheetahEnv": Runner,
    "hopper_v5.HopperEnv": Walker,
    "humanoid_v5.HumanoidEnv": Humanoid,
    "humanoidstandup_v5.HumanoidStandupEnv": Standup,
    "inverted_double_pendulum_v5.InvertedDoublePendulumEnv": DoublePendulum,
    "inverted_pendulum_v5.InvertedPendulumEnv": Pendulum,
    "pusher_v5.PusherEnv": Pusher,
    "reacher_v5.ReacherEnv": Reacher,
    "swimmer_v5.SwimmerEnv": Runner,
    "walker2d_v5.Walker2dEnv": Walker,
}
"""Modules in Gymnasium's MuJoCo folder, and their classes."""

MODULE = "gymnasium.envs.mujoco."


def robot_of(env: gymnasium.Env[Any, Any]) -> type[Robot] | None:
    """What steps an environment in shared slots; None for one that Gymnasium has to step.

    The environment has to be Gymnasium's own class with its own model, under no wrappers but those that every
    environment has, and draw nothing on the screen.
    """
    inner: Any = env.unwrapped
    kind = type(inner)
    robot = ROBOTS.get(f"{kind.__module__.removeprefix(MODULE)}.{kind.__qualname__}")
    if robot is None or not kind.__module__.startswith(MODULE) or inner.render_mode == "human":
        return None
    model = Path(inspect.getfile(kind)).parent / "assets" / inspect.signature(kind).parameters["xml_file"].default
    usual = Path(inner.fullpath) == model and _wrappers(env) == [TimeLimit, OrderEnforcing]
    return robot if usual else None


def _wrappers(env: gymnasium.Env[Any, Any]) -> list[type[Any]]:
    """The kinds of an environment's wrappers, from the outside in."""
    found: list[type[Any]] = []
    while isinstance(env, gymnasium.Wrapper):
        found.append(type(env))
        env = env.env
    return found
