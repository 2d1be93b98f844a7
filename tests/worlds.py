"""Small environments whose best actions are known."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, Text
from torch import nn


class Guess(gymnasium.Env[Any, Any]):
    """Say which of three numbers is the largest; 1 for each right answer, 10 a game."""

    observation_space = Box(-1, 1, (3,), np.float32)
    action_space = Discrete(3)

    def _observe(self) -> np.ndarray[Any, Any]:
        self._numbers = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self._numbers

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: int) -> Any:
        reward = float(action == self._numbers.argmax())
        self._steps += 1
        return self._observe(), reward, self._steps == 10, False, {}


class Wordy(Guess):
    """As Guess, shown in words, which no policy reads."""

    observation_space = Text(5)  # type: ignore[assignment]


class GuessFrom5(Guess):
    """As Guess, with the answers numbered from 5."""

    action_space = Discrete(3, start=5)

    def step(self, action: int) -> Any:
        assert self.action_space.contains(action)
        return super().step(action - 5)


class Remember(gymnasium.Env[Any, Any]):
    """1 or -1 is shown in the first of 5 steps; say at the last which of them it was, for a reward of 1."""

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps, self._cue = 0, int(self.np_random.integers(2))
        return np.array([2 * self._cue - 1, 0], np.float32), {}

    def step(self, action: int) -> Any:
        self._steps += 1
        last = self._steps == 5
        return np.array([0, self._steps == 4], np.float32), float(last and action == self._cue), last, False, {}


class Copy(gymnasium.Env[Any, Any]):
    """Answer with the number shown, within -2 and 3; the reward is minus the distance; 10 a game."""

    observation_space = Box(-2, 3, (), np.float64)
    action_space = Box(np.array([-2.0]), np.array([3.0]), dtype=np.float64)

    def _observe(self) -> Any:
        self._number = self.np_random.uniform(-2, 3)
        return self._number

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        reward = -abs(float(action[0]) - self._number)
        self._steps += 1
        return self._observe(), reward, self._steps == 10, False, {}


class Lengths(gymnasium.Env[Any, Any]):
    """An episode of 1 to `longest` steps, as its seed says; each step rewards 1."""

    observation_space = Discrete(2, start=3)
    action_space = Discrete(2)

    def __init__(self, longest: int = 50) -> None:
        self._longest = longest

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._left = int(self.np_random.integers(1, self._longest + 1))
        return 3, {}

    def step(self, action: int) -> Any:
        self._left -= 1
        return 4, 1.0, False, self._left == 0, {}


class Broken(Lengths):
    """As Lengths, but a step fails, in the way asked for, when the weights choose action 1."""

    def __init__(self, how: str = "raise", at_reset: bool = False) -> None:
        super().__init__()
        self._how = how
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self._at_reset = at_reset

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        observation = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        if self._at_reset:
            observation[0] = np.nan
        return observation, {}

    def step(self, action: int) -> Any:
        _, reward, terminated, truncated, info = super().step(action)
        observation = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        if action == 1:
            if self._how == "raise":
                raise OddError("left", "right")
            if self._how == "observation":
                observation[1] = np.inf
            if self._how == "reward":
                reward = float("nan")
            if self._how == "None":
                reward = None
        return observation, reward, terminated, truncated, info


class OddError(Exception):
    """Takes two arguments, and cannot be pickled."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right}")
        self.callback = lambda: None


class Endless(gymnasium.Env[Any, Any]):
    """Never ends."""

    observation_space = Discrete(1)
    action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return 0, {}

    def step(self, action: int) -> Any:
        return 0, 1.0, False, False, {}


class BrokenAtReset(Broken):
    """Shows NaN from the start."""

    def __init__(self) -> None:
        super().__init__(at_reset=True)


class Hover(gymnasium.Env[Any, Any]):
    """Fall, for -100, or hover to the end, for next to nothing; nobody ever lands. It cuts itself off."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps, self._height, self._speed = 0, 10 + self.np_random.normal(), 0.0
        return np.array([self._height, self._speed]), {}

    def step(self, action: Any) -> Any:
        self._steps += 1
        self._speed = 0.9 * self._speed + 0.1 * float(action[0]) - 0.05
        self._height += self._speed
        out = not 0 < self._height < 30
        reward = -100.0 if out else 0.01 * np.sin(1e3 * self._height)  # as good as random
        return np.array([self._height, self._speed]), reward, out, self._steps == 50, {}


class Nowhere(Hover):
    """Nothing done here earns anything."""

    def step(self, action: Any) -> Any:
        observation, _, out, cut_off, info = super().step(action)
        return observation, 0.0, out, cut_off, info


def misfit(observation_space: Any, action_space: Any) -> nn.Module:
    """A module with an output too many."""
    return nn.Linear(observation_space.shape[0], action_space.n + 1)
