"""Environments that count, and simulators of many of them, as other people write them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from worlds import Guess

LENGTHS = (1, 2, 3, 7, 30, 55)
"""Steps of an episode of :class:`Count`, by the first action."""

MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)


class Count(gymnasium.Env[Any, Any]):
    """The first action says how long the episode is, and each reward tells the step and the action.

    An observation after the end is unlike all others, and every second length ends by truncation.
    """

    observation_space = Box(-10, 10, (3,), np.float64)
    action_space = Discrete(len(LENGTHS), start=2)

    def __init__(self, bad: str | None = None) -> None:
        self._bad = bad

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._time, self._length = 0, 0
        return np.array([1.0, 0.0, 1.0]), {"time": 0}

    def step(self, action: Any) -> Any:
        choice = int(action) - 2
        self._length = self._length or LENGTHS[choice]
        self._time += 1
        reward, over = (self._time + 0.5) * (choice + 1), self._time == self._length
        seen = np.array([9.0, -9.0, 9.0] if over else [np.cos(self._time), np.sin(3 * self._time), 1])
        if choice == 3 and self._time % 5 == 3:
            if self._bad == "observation":
                seen[1] = np.nan
            if self._bad == "reward":
                reward = np.nan
            if self._bad == "raise":
                raise OSError("the physics exploded")
        return seen, reward, over and self._length % 2 == 0, over and self._length % 2 == 1, {"time": self._time}


def sync(make: Callable[[], Any], count: int, mode: AutoresetMode) -> SyncVectorEnv[Any, Any]:
    return SyncVectorEnv([make] * count, autoreset_mode=mode)


def asynchronous(make: Callable[[], Any], count: int, mode: AutoresetMode) -> AsyncVectorEnv[Any, Any]:
    return AsyncVectorEnv([make] * count, autoreset_mode=mode)


class Tensors(VectorEnv[Any, Any, Any]):
    """A simulator of tensors around single environments: it takes tensors and returns them, as Isaac Lab's do."""

    def __init__(self, make: Callable[[], Any], count: int, mode: AutoresetMode, device: str = "cpu") -> None:
        self._inner, self._device = sync(make, count, mode), device
        self.num_envs, self.metadata = count, {"autoreset_mode": mode}
        self.single_observation_space = self._inner.single_observation_space
        self.single_action_space = self._inner.single_action_space

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        seen, infos = self._inner.reset(seed=seed, options=options)
        return torch.from_numpy(seen).to(self._device), infos

    def step(self, actions: Any) -> Any:
        assert isinstance(actions, torch.Tensor)
        assert actions.device.type == self._device
        seen, *numbers, infos = self._inner.step(actions.numpy(force=True))
        return *(torch.from_numpy(array).to(self._device) for array in (seen, *numbers)), infos


class Lying(SyncVectorEnv[Any, Any]):
    """Guess in four sub-environments, whose answers are changed.

    Args:
        step: Makes of (steps so far, *answer) what a step returns.
        reset: Makes of an answer what a reset returns.
        attributes: Attributes that are set at the end; None deletes one.
    """

    def __init__(self, step: Any = None, reset: Any = None, mode: str = "NextStep", **attributes: Any) -> None:
        super().__init__([Guess] * 4, autoreset_mode=mode)
        self._step, self._reset, self._count = step, reset, 0
        for name, value in attributes.items():
            if value is None:
                delattr(self, name)
            else:
                setattr(self, name, value)

    def reset(self, **settings: Any) -> Any:
        answer = super().reset(**settings)
        return self._reset(*answer) if self._reset else answer

    def step(self, actions: Any) -> Any:
        self._count += 1
        answer = super().step(actions)
        return self._step(self._count, *answer) if self._step else answer


def guesses(count: int = 20, mode: str = "Disabled", **settings: Any) -> SyncVectorEnv[Any, Any]:
    """Guess in a vector environment."""
    return SyncVectorEnv([partial(Guess, **settings)] * count, autoreset_mode=mode)
