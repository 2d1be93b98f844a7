"""Environments that misbehave, each in one way."""

import random
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

Deed = Callable[..., Any]


class Plain(gymnasium.Env[Any, Any]):
    """Five steps that pay for the action whose number is largest. Nothing is wrong with it."""

    observation_space = Box(-1, 1, (3,), np.float32)
    action_space = Discrete(4)

    def _observe(self) -> Any:
        self._numbers = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return self._numbers

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        reward = float(self._numbers[int(action) % 3])
        self._steps += 1
        return self._observe(), reward, self._steps == 5, False, {}


class Steered(Plain):
    """As Plain, with actions in a Box."""

    action_space = Box(-1, 1, (2,))  # type: ignore[assignment]

    def step(self, action: Any) -> Any:
        answer = super().step(0)
        reward = float(action.sum() * self._numbers[0])
        return answer[0], reward, *answer[2:]


class OwnError(BaseException):
    """Which ``except Exception`` does not catch."""


class OddError(Exception):
    """Takes two arguments, cannot be pickled, and has a message of two lines."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left}\n{right}")
        self.callback = lambda: None


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "ValueError: boom": lambda: ValueError("boom"),
    "SystemExit: 0": lambda: SystemExit(0),
    "SystemExit: 3": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "OwnError: boom": lambda: OwnError("boom"),
    "OddError: left": lambda: OddError("left", "right"),
    "MuteError": MuteError,
}
"""What can be raised, by what is said of it."""


def raising(hook: str, make_error: Callable[[], BaseException]) -> type[Plain]:
    """An environment that raises in ``__init__``, ``reset``, ``step`` or ``close``, always."""

    def fail(self: Plain, *args: object, **kwargs: object) -> Any:
        raise make_error()

    return type("Misbehaving", (Plain,), {hook: fail})


def answering(deed: Deed, *, sometimes: bool = False, kind: type[Plain] = Plain) -> type[Plain]:
    """An environment whose ``step`` returns what `deed` makes of the right answer; sometimes: in one action's case."""

    def step(self: Plain, action: Any) -> Any:
        answer = kind.step(self, action)
        odd = not sometimes or (self._steps == 3 and action == 3)
        return deed(self, answer, action) if odd else answer

    return type("Misbehaving", (kind,), {"step": step})


def raising_sometimes(make_error: Callable[[], BaseException]) -> type[Plain]:
    def fail(self: Plain, answer: Any, action: Any) -> Any:
        raise make_error()

    return answering(fail, sometimes=True)


def starting(deed: Deed) -> type[Plain]:
    """An environment whose ``reset`` returns what `deed` makes of the right answer."""

    def reset(self: Plain, *, seed: int | None = None, options: Any = None) -> Any:
        return deed(self, Plain.reset(self, seed=seed))

    return type("Misbehaving", (Plain,), {"reset": reset})


def rewarding(reward: Any, **settings: Any) -> type[Plain]:
    """One with an odd reward."""
    return answering(lambda env, answer, action: (answer[0], reward, *answer[2:]), **settings)


def showing(make: Callable[[Any], Any], **settings: Any) -> type[Plain]:
    """One with odd observations."""
    return answering(lambda env, answer, action: (make(answer[0]), *answer[1:]), **settings)


def ending(terminated: Callable[[bool], Any], truncated: Callable[[bool], Any], **settings: Any) -> type[Plain]:
    """One that says in odd ways whether an episode has ended."""

    def deed(env: Plain, answer: Any, action: Any) -> Any:
        return *answer[:2], terminated(answer[2]), truncated(answer[3]), answer[4]

    return answering(deed, **settings)


def shifted(by: Callable[[Plain], float], *, where: str = "observation") -> type[Plain]:
    """One whose observations, or rewards, are shifted by a number from elsewhere."""

    def deed(env: Plain, answer: Any, action: Any) -> Any:
        observation, reward, *rest = answer
        amount = by(env)
        if where == "observation":
            return np.float32(observation + amount), reward, *rest
        return observation, reward + amount, *rest

    return answering(deed)


class CountsEpisodes(Plain):
    """Counts episodes of all its objects."""

    episodes: ClassVar[int] = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        CountsEpisodes.episodes += 1
        observation, info = super().reset(seed=seed)
        return observation + np.float32(1e-3 * CountsEpisodes.episodes), info


class IgnoresSeed(Plain):
    """Has a generator of its own, that nobody seeds."""

    def __init__(self) -> None:
        self._own = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        _, info = super().reset(seed=seed)
        return self._own.uniform(-1, 1, 3).astype(np.float32), info


class Survives(Plain):
    """Has something left from the episode before."""

    def __init__(self) -> None:
        self._tired = 0.0

    def step(self, action: Any) -> Any:
        self._tired += 0.01
        observation, reward, *rest = super().step(action)
        return observation, reward - self._tired, *rest


class SeedsGlobally(Plain):
    """Draws from NumPy's global generator, seeded at reset, as in the old days."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        np.random.seed(seed)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        return *super().step(action)[:1], float(np.random.rand()), self._steps == 5, False, {}


class SharesBuffer(Plain):
    """All its objects show the same array."""

    buffer: ClassVar[Any] = np.zeros(3, np.float32)

    def _observe(self) -> Any:
        SharesBuffer.buffer[:] = super()._observe()
        return SharesBuffer.buffer


class SameArray(Plain):
    """Shows the same array every time, with other numbers in it."""

    def __init__(self) -> None:
        self._array = np.zeros(3, np.float32)

    def _observe(self) -> Any:
        self._array[:] = super()._observe()
        return self._array


class ChangesItsSpaces(Plain):
    """Writes into its spaces."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = Box(-1, 1, (3,), np.float32), Discrete(4)

    def step(self, action: Any) -> Any:
        self.observation_space.low[:] = -7  # type: ignore[attr-defined]
        self.action_space = Discrete(9)
        return super().step(action)


class OtherSpaces(Plain):
    """Has other spaces every time."""

    made: ClassVar[int] = 0

    def __init__(self) -> None:
        OtherSpaces.made += 1
        self.observation_space = Box(-1, 1, (2 + OtherSpaces.made,), np.float32)


class HidesItsSpaces(Plain):
    """Cannot say what its spaces are."""

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not yet known")


class NoSpaces(Plain):
    """Has no spaces."""

    observation_space = None  # type: ignore[assignment]


class NoSeed(Plain):
    """Takes no seed."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class Endless(Plain):
    """Never ends."""

    def step(self, action: Any) -> Any:
        return *super().step(action)[:2], False, False, {}


class LeavesThreads(Plain):
    """Starts a thread that nobody ends."""

    def __init__(self) -> None:
        threading.Thread(target=time.sleep, args=(1.0,), daemon=True).start()


class FailsWhenDeleted(Plain):
    """Raises as it is cleaned up."""

    def __del__(self) -> None:
        raise ValueError("boom")


class NotRendered(Plain):
    """Cannot be drawn."""

    def render(self) -> Any:
        raise RuntimeError("no display")


class FailsInSomeResets(Plain):
    """Raises in some resets, as their seeds say."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        answer = super().reset(seed=seed)
        if seed is not None and seed > 100 and seed % 4:
            raise ValueError("boom")
        return answer


def talks(env: Plain, answer: Any, action: Any) -> Any:
    print("a step", end="")
    return answer


def warns(env: Plain, answer: Any, action: Any) -> Any:
    warnings.warn("that is old", DeprecationWarning, stacklevel=1)
    return answer


def scribbles(env: Plain, answer: Any, action: Any) -> Any:
    action[:] = 77
    return answer


ELSEWHERE: dict[str, Callable[[Plain], float]] = {
    "Python's": lambda env: 0.1 * random.random(),
    "NumPy's": lambda env: 0.1 * float(np.random.rand()),
    "torch's": lambda env: 0.1 * float(torch.rand(())),
}
"""Numbers from the global generators."""


def from_clock(env: Plain) -> float:
    return 1e-3 * (time.perf_counter() % 1)


def from_system(env: Plain) -> float:
    return 1e-3 * (uuid.uuid4().int % 1000)


def from_own_space(env: Plain) -> float:
    return 0.1 * float(env.action_space.sample())
