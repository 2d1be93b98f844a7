"""Slots of a MuJoCo environment that share one model and one data structure."""

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from torchpolicy.base.errors import CodeError
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, blaming, in_a_line, is_exhausted
from torchpolicy.envs.base import EnvSlots
from torchpolicy.envs.gym_slots import close_quietly
from torchpolicy.envs.mujoco.base import Robot, untimed


class MujocoSlots(EnvSlots):
    """Robots side by side in one MuJoCo data structure, which stays in the processor's cache.

    Args:
        make: Makes Gymnasium's environment.
        robot: What it is.
        time_limit: Steps after which an episode is truncated.
        count: S, the number of slots.
        dtype: The dtype that observations are kept in.
    """

    def __init__(self, make: Callable[[], Any], robot: type[Robot], time_limit: int, count: int, dtype: Any) -> None:
        self._make, self._kind, self._time_limit = make, robot, time_limit
        self._robot = self._open(count)
        self._steps = np.zeros(count, np.int64)  # of the episode in each slot
        self.observations: Array = np.zeros((count, *self._robot.env.observation_space.shape), dtype)
        self.rewards: Array = np.zeros(count)
        self.truncated: Array = np.zeros(count, bool)

    def _open(self, count: int) -> Robot:
        with blaming("making the environment failed"):
            self._env = self._make()
            return self._kind(self._env.unwrapped, count)

    def reset(self, slot: int, seed: int) -> str | None:
        try:
            first = self._robot.reset(slot, seed)
        except STOPS:
            raise
        except BaseException as error:
            return self._give_up("reset", error)
        with np.errstate(over="ignore"):  # what is too large for the policy's dtype fails as infinite
            self.observations[slot] = first
        self._steps[slot] = 0
        return None

    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        if not slots:
            return [], {}
        failed: dict[int, str] = {}
        where = slots if len(slots) < len(self.rewards) else slice(None)
        actions = np.ascontiguousarray(actions[where])  # sums of a row depend on the order in memory
        before = self._robot.place(where).copy()
        self._robot.ctrl[where] = actions
        with untimed():
            for slot in slots:
                try:
                    self._robot.advance(slot)
                except STOPS:
                    raise
                except BaseException as error:
                    failed[slot] = self._give_up("step", error)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite fails its episode
            rewards, terminated = self._robot.judge(where, before, actions)
            self.observations[where] = self._robot.observe(where)
        self.rewards[where] = rewards
        self.truncated[where] = ~terminated
        self._steps[where] += 1
        over = terminated | (self._steps[where] >= self._time_limit)
        ended = [slots[i] for i in over.nonzero()[0] if slots[i] not in failed] if over.any() else []
        return ended, failed

    def _give_up(self, place: str, error: BaseException) -> str:
        """Let go of the data structure in which a slot failed, and return why; the other slots go on in a new one.

        Raises:
            CodeError: If the machine is the reason: out of memory, or of files.
        """
        if is_exhausted(error):
            raise CodeError(f"{place} failed: {in_a_line(error)}") from error
        old = self._robot
        self.close()
        self._robot = self._open(len(old.states))
        self._robot.states[:], self._robot.kept[:] = old.states, old.kept
        return f"{place} raised {in_a_line(error)}\n{''.join(traceback.format_exception(error))}"

    def close(self) -> None:
        close_quietly(self._env)
