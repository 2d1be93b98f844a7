"""What Gymnasium's MuJoCo environments have in common, for many slots that share one model and one data structure."""

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import mujoco
import numpy as np

from torchpolicy.base.types import Array

STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
"""All that the next step depends on, the start of the solver included."""

CONSTANT = ctypes.pythonapi.PyFloat_GetMax
"""A function in C without arguments that always returns the same number."""

FORCE_AND_TORQUE = 6
"""Numbers of external force for each body, of which the first is the world."""

Where = slice | list[int]
"""Some slots: their numbers, or all."""


@contextmanager
def untimed() -> Iterator[None]:
    """Keep MuJoCo from timing itself for a while.

    Its Python package makes it look at the clock some twenty times a step, which takes up to a quarter of it. Here
    it sees a clock that stands still. ``MjData.timer`` is all that this changes, for all threads of the process.
    """
    before = mujoco.get_mjcb_time()
    mujoco.set_mjcb_time(CONSTANT)
    try:
        yield
    finally:
        mujoco.set_mjcb_time(before)  # None stands for MuJoCo's own clock


class Robot(ABC):
    """The physics of S slots, and what an environment of Gymnasium makes of it: observations, rewards and ends.

    MuJoCo's data structure holds one slot at a time. A slot is a row of `states` that is written into it, stepped and
    read back. Quantities that a step leaves in the data structure and the row does not hold are kept beside it. All
    arithmetic that follows is Gymnasium's own, in the same order, for an array of slots.

    Args:
        env: Gymnasium's environment, without its wrappers. It resets episodes, and its settings are the robot's.
        count: S, the number of slots.

    Attributes:
        states: (S, N) float64, the state of each slot.
        qpos, qvel, ctrl: Its positions (S, nq), velocities (S, nv) and controls (S, nu), as views.
        kept: (S, K) float64, what :meth:`keep` returned after each slot's last step.
    """

    forces: ClassVar[bool] = False
    """Whether something depends on what ``mj_rnePostConstraint`` computes."""

    def __init__(self, env: Any, count: int) -> None:
        self.env, self.model, self.data = env, env.model, env.data
        self.dt: float = env.dt
        self.states: Array = np.zeros((count, mujoco.mj_stateSize(self.model, STATE)))
        self._rows = list(self.states)
        self.qpos = self._columns(mujoco.mjtState.mjSTATE_QPOS)
        self.qvel = self._columns(mujoco.mjtState.mjSTATE_QVEL)
        self.ctrl = self._columns(mujoco.mjtState.mjSTATE_CTRL)
        self.kept: Array = np.zeros((count, len(self.keep())))
        self._keeps = self.kept.shape[1] > 0

    def _columns(self, part: int) -> Array:
        """A part of all states (S, n); parts lie in the order of their bits."""
        begin = mujoco.mj_stateSize(self.model, STATE & (int(part) - 1))
        return self.states[:, begin : begin + mujoco.mj_stateSize(self.model, int(part))]

    def reset(self, slot: int, seed: int) -> Array:
        """Begin the episode of a seed in a slot, and return its first observation (O)."""
        observation: Array = self.env.reset(seed=seed)[0]
        self._store(slot)
        return observation

    def advance(self, slot: int) -> None:
        """Step the physics of a slot under its controls."""
        mujoco.mj_setState(self.model, self.data, self._rows[slot], STATE)
        mujoco.mj_step(self.model, self.data, self.env.frame_skip)
        if self.forces:
            mujoco.mj_rnePostConstraint(self.model, self.data)
        self._store(slot)

    def _store(self, slot: int) -> None:
        mujoco.mj_getState(self.model, self.data, self._rows[slot], STATE)
        if self._keeps:
            self.kept[slot] = self.keep()

    def keep(self) -> Array:
        """(K), what the state does not hold and an observation or a reward depends on, in the slot that was stepped."""
        return np.empty(0)

    def place(self, where: Where) -> Array:
        """Where some slots are, (n), before and after a step."""
        place: Array = self.qpos[where, 0]
        return place

    def velocity(self, where: Where, before: Array) -> Array:
        """How fast some slots moved in their last step, (n); they were at `before` (n)."""
        velocity: Array = (self.place(where) - before) / self.dt
        return velocity

    @abstractmethod
    def observe(self, where: Where) -> Array:
        """Observations of some slots, (n, O)."""

    @abstractmethod
    def judge(self, where: Where, before: Array, actions: Array) -> tuple[Array, Array]:
        """Rewards of the last step (n) of some slots, and whether it ended their episodes (n) bool.

        Args:
            where: The slots.
            before: (n), their places before the step.
            actions: (n, A), their actions.
        """


def cost_of(weight: float, actions: Array) -> Array:
    """The cost (n) of actions (n, A), in their dtype."""
    cost: Array = weight * np.square(actions).sum(1)
    return cost


def never(actions: Array) -> Array:
    """The ends (n) of environments that do not end by themselves."""
    return np.zeros(len(actions), bool)
