"""Gymnasium environments, by id or from the user's own factory."""

import importlib.util
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit

from torchpolicy.checks import LONGEST_EPISODE, check_count
from torchpolicy.encoders import Encoder, ObservationError, make_encoder
from torchpolicy.envs.base import RUNAWAY_STEPS, Environment, EnvSlots
from torchpolicy.heads import make_head
from torchpolicy.spaces import Array

GymEnv = gymnasium.Env[Any, Any]
GymFactory = Callable[..., GymEnv]


def gym_environment(
    env: str | GymFactory, env_args: Mapping[str, Any] | None = None, max_episode_steps: int | None = None
) -> Environment:
    """Describe a Gymnasium environment, making one to look at.

    Args:
        env: A Gymnasium id, or a callable that returns a ``gymnasium.Env`` (a class is one).
        env_args: Keywords for the environment.
        max_episode_steps: Time limit in steps, in place of a Gymnasium id's own; of two limits in a callable's
            environment the shorter holds.

    Raises:
        ValueError: If it cannot be made, with Gymnasium's own reason.
    """
    if max_episode_steps is not None:
        max_episode_steps = check_count("max_episode_steps", max_episode_steps, at_least=1, at_most=LONGEST_EPISODE)
    if not isinstance(env_args, Mapping | None):
        raise ValueError(f"env_args must be a dictionary, got {env_args!r}")
    factory: object = env
    args = dict(env_args or {})
    make: Callable[[], GymEnv]
    if isinstance(factory, str):
        name = factory
        make = partial(_make_by_id, factory, max_episode_steps, args)
    elif callable(factory):
        name = getattr(factory, "__name__", type(factory).__name__)
        make = partial(_make_own, factory, max_episode_steps, args)
    else:
        raise ValueError(f"env must be a Gymnasium id or a callable that returns a gymnasium.Env, got {env!r}")
    try:
        example = make()
    except gymnasium.error.NameNotFound as error:
        hint = "" if ":" in name else " An environment that a package brings is named package:Name-v0."
        raise ValueError(f"{error}{hint}") from error
    except gymnasium.error.Error as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        raise ValueError(f"making {name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(example, gymnasium.Env):
        raise ValueError(f"{name} should return a gymnasium.Env, got {type(example).__name__}")
    with closing(example):
        if callable(factory) and make() is example:
            raise ValueError(f"{name} should make a new environment at each call, and returned the same one twice")
        spaces: Any = getattr(example, "observation_space", None), getattr(example, "action_space", None)
        if None in spaces:
            raise ValueError(f"{name} should have an observation_space and an action_space, got {spaces}")
        encoder = make_encoder(spaces[0])
        make_head(spaces[1])
        first = _first_observation(name, example, encoder)
    time_limit = _time_limit(example)
    if time_limit is None:
        make = partial(_limited, make)
    return Environment(
        name=name,
        observation_space=spaces[0],
        action_space=spaces[1],
        reward_threshold=example.spec.reward_threshold if example.spec else None,
        time_limit=time_limit,
        make_slots=partial(GymSlots, make, encoder),
        first_observation=first,
    )


class GymSlots(EnvSlots):
    """A list of Gymnasium environments, made as they are needed.

    Args:
        make: Makes one environment.
        encoder: Knows what its observations look like.
        count: S.
        dtype: Of the kept observations.
    """

    def __init__(self, make: Callable[[], GymEnv], encoder: Encoder, count: int, dtype: Any) -> None:
        self._make = make
        self._encoder = encoder
        self._envs: list[GymEnv | None] = [None] * count
        self.observations: Array = np.zeros((count, *encoder.observation_shape), dtype)
        self.rewards: Array = np.zeros(count)
        self.truncated: Array = np.zeros(count, bool)

    def reset(self, slot: int, seed: int) -> str | None:
        try:
            env = self._envs[slot]
            if env is None:
                env = self._envs[slot] = self._make()
            _forget(env)
            observation, _ = env.reset(seed=seed)
            self.observations[slot] = self._encoder.check([observation])[0]
        except ObservationError as error:
            return str(error)
        except Exception:
            self._drop(slot)
            return traceback.format_exc()
        return None

    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        ended, failed, came = [], {}, []
        envs, rewards = self._envs, self.rewards
        for slot in slots:
            try:
                observation, rewards[slot], terminated, truncated, _ = envs[slot].step(actions[slot])  # type: ignore[union-attr]
            except Exception:
                self._drop(slot)
                failed[slot] = traceback.format_exc()
                came.append(self.observations[slot])  # the one before
                continue
            came.append(observation)
            if terminated or truncated:
                ended.append(slot)
                self.truncated[slot] = not terminated
        try:
            self.observations[slots if len(slots) < len(envs) else slice(None)] = self._encoder.check(came)
        except ObservationError:
            failed |= self._keep_one_by_one(slots, came)
        return ended, failed

    def _keep_one_by_one(self, slots: list[int], came: list[Any]) -> dict[int, str]:
        """Keep the observations that are what the space says; the slots of the others, and why."""
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

    def _drop(self, slot: int) -> None:
        """Let an environment go. After it raised, nothing is known of its state: the next episode has a new one."""
        env, self._envs[slot] = self._envs[slot], None
        if env is not None:
            try:
                env.close()
            except Exception as error:
                warnings.warn(f"closing an environment failed: {type(error).__name__}: {error}", stacklevel=2)


def _forget(env: GymEnv) -> None:
    """Give a Box2D environment a new world: after a reset the old one still remembers the episode before."""
    inner: Any = env.unwrapped
    world = getattr(inner, "world", None)
    if world is not None and type(world).__module__.startswith("Box2D") and hasattr(inner, "_destroy"):
        inner._destroy()
        inner.world = type(world)(gravity=world.gravity)


def _make_by_id(name: str, max_episode_steps: int | None, args: dict[str, Any]) -> GymEnv:
    spec = gymnasium.registry.get(name)
    if spec is not None and "mujoco" in str(spec.entry_point) and importlib.util.find_spec("mujoco"):
        # MuJoCo 4 warns of what Gymnasium's own models do, once for every copy
        importlib.import_module("mujoco").set_mju_user_warning(_drop_warning)
    return gymnasium.make(name, max_episode_steps, disable_env_checker=True, **args)


def _drop_warning(text: str) -> None:
    """A warning that the user can do nothing about."""


def _make_own(factory: GymFactory, max_episode_steps: int | None, args: dict[str, Any]) -> GymEnv:
    env = factory(**args)
    return env if max_episode_steps is None else TimeLimit(env, max_episode_steps)


def _limited(make: Callable[[], GymEnv]) -> GymEnv:
    return TimeLimit(make(), RUNAWAY_STEPS)


def _time_limit(env: GymEnv) -> int | None:
    """The steps after which some wrapper truncates an episode."""
    limits = []
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    return min(limits, default=None)


def _first_observation(name: str, env: GymEnv, encoder: Encoder) -> Array:
    try:
        answer = env.reset(seed=0)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(f"expected (observation, info), got {type(answer).__name__}")
        first: Array = encoder.check([answer[0]])[0]
    except Exception as error:
        raise ValueError(f"{name}: reset(seed=0) failed: {type(error).__name__}: {error}") from error
    if not np.isfinite(first).all():
        raise ValueError(f"{name}: reset gave an observation that is not finite: {first}")
    return first
