"""Which of Gymnasium's MuJoCo environments have slots that share one data structure."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from torchpolicy.base.user_code import STOPS
from torchpolicy.envs.base import MakeSlots
from torchpolicy.envs.gym_slots import GymEnv, without_limits
from torchpolicy.envs.mujoco.ant import Ant
from torchpolicy.envs.mujoco.arm import Pusher, Reacher
from torchpolicy.envs.mujoco.base import Robot
from torchpolicy.envs.mujoco.humanoid import Humanoid, Standup
from torchpolicy.envs.mujoco.pendulum import DoublePendulum, Pendulum
from torchpolicy.envs.mujoco.runner import Runner
from torchpolicy.envs.mujoco.slots import MujocoSlots
from torchpolicy.envs.mujoco.walker import Walker

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

TRIED = 3
"""Steps that are compared before an environment is taken."""


def shared_slots(make: Callable[[], GymEnv], example: GymEnv, limit: int) -> MakeSlots | None:
    """What makes slots that share one data structure; None where Gymnasium has to step the environment.

    The environment has to be Gymnasium's own class with its own model, under no wrappers but limits of time and order.
    It draws nothing on the screen, and its first steps are the same in both ways: an unusual argument may make one of
    them fail.

    Args:
        make: Makes an environment.
        example: One that it made.
        limit: Its time limit in steps.
    """
    inner: Any = without_limits(example)[0]
    kind = type(inner)
    robot = ROBOTS.get(f"{kind.__module__.removeprefix(MODULE)}.{kind.__qualname__}")
    if robot is None or not kind.__module__.startswith(MODULE) or inner.render_mode == "human" or inner.frame_skip < 1:
        return None
    model = Path(inspect.getfile(kind)).parent / "assets" / inspect.signature(kind).parameters["xml_file"].default
    usual = Path(inner.fullpath) == model and _agree(partial(MujocoSlots, lambda: example, robot, limit), inner)
    return partial(MujocoSlots, make, robot, limit) if usual else None


def _agree(make_slots: MakeSlots, env: Any) -> bool:
    """Whether the first steps of an episode are Gymnasium's when they are stepped in a shared slot."""
    actions = np.random.default_rng(0).uniform(-1, 1, (TRIED, *env.action_space.shape)).astype(env.action_space.dtype)
    try:
        slots, shared = make_slots(1, np.dtype(np.float64)), []
        slots.reset(0, 0)
        for action in actions:
            slots.step([0], action[None])
            shared.append((np.array(slots.observations[0]), float(slots.rewards[0]), not slots.truncated[0]))
        env.reset(seed=0)
        for action, (observation, reward, terminated) in zip(actions, shared, strict=True):
            expected = env.step(action)
            same = np.array_equal(observation, expected[0]) and np.shape(expected[1]) == ()
            if not same or reward != expected[1] or terminated != bool(expected[2]):
                return False
    except STOPS:
        raise
    except BaseException:  # whatever an argument brings about: Gymnasium's own step will say it
        return False
    return True
