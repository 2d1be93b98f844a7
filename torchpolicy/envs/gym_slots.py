"""Gymnasium environments side by side."""

import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import OrderEnforcing, TimeLimit

from torchpolicy.base.activity import SLOT
from torchpolicy.base.checks import LONGEST_EPISODE
from torchpolicy.base.errors import CodeError
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, in_a_line, is_exhausted, shortly
from torchpolicy.envs.base import RUNAWAY_STEPS, EnvSlots
from torchpolicy.policies.parts.encoders import Encoder, ObservationError

GymEnv = gymnasium.Env[Any, Any]

EXPECTED = "expected (observation, reward, terminated, truncated, info)"

NOTHING = object()
"""Stands for what step returned while it has not returned yet."""

NUMBERS = "fiub"
"""Kinds of NumPy dtypes that a reward may have."""

PASSING_ON = (str(Path(gymnasium.__file__).parent), __file__)
"""Files that take apart what an environment returned: an error there is about what it returned."""


class GymSlots(EnvSlots):
    """A list of Gymnasium environments, made as they are needed.

    Args:
        make: Makes one environment.
        encoder: Checks its observations.
        time_limit: Steps after which an episode is truncated, if the environment does not do so earlier; None where
            its wrappers alone decide.
        count: S, the number of slots.
        dtype: The dtype that observations are kept in.
    """

    def __init__(
        self, make: Callable[[], GymEnv], encoder: Encoder, time_limit: int | None, count: int, dtype: Any
    ) -> None:
        self._make = make
        self._encoder = encoder
        self._time_limit = time_limit
        self._envs: list[GymEnv | None] = [None] * count
        self._stepped: list[GymEnv | None] = [None] * count  # the same without wrappers that only watch over steps
        self._limits = np.zeros(count, np.int64)
        self._steps = np.zeros(count, np.int64)  # of the episode in each slot
        self._told = False  # whether there was a warning about an environment that did not close
        self.observations: Array = np.zeros((count, *encoder.observation_shape), dtype)
        self.rewards: Array = np.zeros(count)
        self.truncated: Array = np.zeros(count, bool)

    def reset(self, slot: int, seed: int) -> str | None:
        self.activity.row[SLOT] = slot
        place = "making the environment"
        try:
            env = self._envs[slot]
            if env is None:
                env = self._open(slot)
            place = "reset"
            forget(env)
            observation, _ = env.reset(seed=seed)
            self.observations[slot] = self._encoder.check([observation])[0]
            self._steps[slot] = 0
        except ObservationError as error:
            return str(error)
        except STOPS:
            raise
        except BaseException as error:
            return self._give_up(slot, place, error)
        return None

    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        if not slots:
            return [], {}
        ended: list[int] = []
        failed: dict[int, str] = {}
        came: list[Any] = []
        earned: list[Any] = []
        envs, at = self._stepped, self.activity.row
        for slot in slots:
            at[SLOT] = slot
            answer: Any = NOTHING
            try:
                answer = envs[slot].step(actions[slot])  # type: ignore[union-attr]
                observation, reward, terminated, truncated, _ = answer
                if terminated or truncated:
                    self.truncated[slot] = not terminated
                    ended.append(slot)
            except STOPS:
                raise
            except BaseException as error:
                failed[slot] = self._give_up(slot, "step", error, answer)
                came.append(self.observations[slot])  # the one before
                earned.append(0.0)
                continue
            came.append(observation)
            earned.append(reward)
        where = slots if len(slots) < len(envs) else slice(None)
        self._steps[where] += 1
        if (self._steps[where] >= self._limits[where]).any():
            ended = self._cut_off(slots, ended)
        rewards = _as_array(earned)
        if rewards.size == len(slots) and rewards.dtype.kind in NUMBERS:
            self.rewards[where] = rewards.reshape(-1)
        else:
            failed = self._keep_rewards(slots, earned) | failed
        try:
            seen = self._encoder.check(came)
            with np.errstate(over="ignore"):  # what is too large for the policy's dtype fails as infinite
                self.observations[where] = seen
        except ObservationError:
            failed = self._keep_one_by_one(slots, came) | failed
        return ended, failed

    def _open(self, slot: int) -> GymEnv:
        """Make the environment of a slot."""
        env = self._envs[slot] = self._make()
        self._stepped[slot], *limits = without_limits(env)
        known = [limit for limit in (*limits, self._time_limit) if limit is not None]
        self._limits[slot] = min(known, default=RUNAWAY_STEPS if time_limit(env) is None else LONGEST_EPISODE)
        return env

    def _cut_off(self, slots: list[int], ended: list[int]) -> list[int]:
        """The slots that have ended, and those that have reached their limit, in their order."""
        late = [slot for slot in slots if self._steps[slot] >= self._limits[slot] and slot not in ended]
        late = [slot for slot in late if self._envs[slot] is not None]  # one that failed has none
        self.truncated[late] = True
        return sorted(ended + late)

    def _keep_rewards(self, slots: list[int], earned: list[Any]) -> dict[int, str]:
        """Keep the rewards that are numbers; return the slots of the others, and why they failed."""
        failed = {}
        for slot, reward in zip(slots, earned, strict=True):
            number = _as_number(reward)
            if number is None:
                failed[slot] = f"reward is {shortly(reward)}, expected a number"
            else:
                self.rewards[slot] = number
        return failed

    def _keep_one_by_one(self, slots: list[int], came: list[Any]) -> dict[int, str]:
        """Keep the observations that fit the space; return the slots of the others, and why they failed."""
        failed = {}
        for slot, observation in zip(slots, came, strict=True):
            try:
                self.observations[slot] = self._encoder.check([observation])[0]
            except ObservationError as error:
                failed[slot] = str(error)
        return failed

    def close(self) -> None:
        for slot, env in enumerate(self._envs):
            if env is not None:
                self._drop(slot)

    def _give_up(self, slot: int, place: str, error: BaseException, answer: object = NOTHING) -> str:
        """Let go of an environment that raised, whose state is unknown from now on, and return why its episode failed.

        Args:
            slot: Its slot.
            place: What it was asked for.
            error: What it raised.
            answer: What step had returned, if it had.

        Raises:
            CodeError: If the machine, and not the environment, is the reason: out of memory, or of files.
        """
        self._drop(slot)
        if is_exhausted(error):
            made = sum(env is not None for env in self._envs)
            raise CodeError(f"{place} failed beside {made} others: {in_a_line(error)}") from error
        if answer is not NOTHING:
            return f"step returned {_misfit(answer)}, {EXPECTED}"
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        if place == "step" and "unpack" in in_a_line(error) and where.startswith(PASSING_ON):
            return f"step returned the wrong number of values, {EXPECTED}: {in_a_line(error)}"
        details = "".join(traceback.format_exception(error))
        return f"{place} raised {in_a_line(error)}\n{details}"

    def _drop(self, slot: int) -> None:
        """Close the environment of a slot, whose next episode gets a new one."""
        env, self._envs[slot], self._stepped[slot] = self._envs[slot], None, None
        if env is not None:
            self._told |= close_quietly(env, silent=self._told)


def without_limits(env: GymEnv) -> tuple[GymEnv, int | None]:
    """An environment without Gymnasium's outermost time limits and checks of order, and the shortest of these limits.

    The slots keep both by themselves, and a step is faster without the wrappers.
    """
    limits = []
    while isinstance(env, TimeLimit | OrderEnforcing) and type(env) in (TimeLimit, OrderEnforcing):
        limits += [env._max_episode_steps] if isinstance(env, TimeLimit) else []
        env = env.env
    return env, min(limits, default=None)


def time_limit(env: GymEnv) -> int | None:
    """The shortest time limit that an environment's wrappers have, in their own steps; None if no wrapper has one."""
    limits = []
    while isinstance(env, gymnasium.Wrapper):
        limits += [env._max_episode_steps] if isinstance(env, TimeLimit) else []
        env = env.env
    return min(limits, default=None)


def close_quietly(env: "GymEnv | VectorEnv[Any, Any, Any]", *, silent: bool = False) -> bool:
    """Close an environment, and only warn if that fails.

    Args:
        env: The environment.
        silent: Whether to leave the warning out.

    Returns:
        Whether it failed.
    """
    try:
        env.close()
    except STOPS:
        raise
    except BaseException as error:
        if not silent:
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # as an error it would end a run, or hide why one ended
                warnings.warn(f"an environment did not close: {in_a_line(error)}", stacklevel=2)
        return True
    return False


def _as_array(values: Any) -> Array:
    """Values as an array; an empty array of objects if they have no common shape, or are no values at all."""
    try:
        return np.array(values)
    except Exception:  # whatever odd values raise when they are looked at
        return np.empty(0, object)


def _as_number(reward: Any) -> float | None:
    """A reward as a number; None if it is neither a number nor an array of one number."""
    array = _as_array(reward)
    if array.size == 1 and array.dtype.kind in NUMBERS:
        return float(array.reshape(-1)[0])
    if reward is None or isinstance(reward, str | bytes):
        return None
    try:
        return float(reward)
    except Exception:
        return None


def _misfit(answer: Any) -> str:
    """What is wrong with an answer of step that could not be taken apart."""
    try:
        count = len(answer)
    except TypeError:
        return shortly(answer)
    if count != 5:
        return f"{count} values"
    ends = {"terminated": answer[2], "truncated": answer[3]}
    odd = next((name for name, value in ends.items() if np.size(value) != 1), "terminated or truncated")
    return f"{odd} as {shortly(ends.get(odd))}"


def remembers(env: GymEnv) -> bool:
    """Whether this is a Box2D environment, whose world still remembers the previous episode after a reset."""
    inner: Any = env.unwrapped
    return type(getattr(inner, "world", None)).__module__.startswith("Box2D") and hasattr(inner, "_destroy")


def forget(env: GymEnv) -> None:
    """Give an environment a new world if its old one remembers."""
    if remembers(env):
        inner: Any = env.unwrapped
        inner._destroy()
        inner.world = type(inner.world)(gravity=inner.world.gravity)
