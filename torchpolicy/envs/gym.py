"""Gymnasium environments, by id or from the user's own factory, alone or as vector environments."""

import importlib.util
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import Space
from gymnasium.envs.registration import EnvSpec, find_highest_version, parse_env_id
from gymnasium.vector import VectorEnv

from torchpolicy.base.checks import LONGEST_EPISODE, check_count
from torchpolicy.base.errors import CodeError
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, blaming, in_a_line
from torchpolicy.envs.base import Environment, MakeSlots
from torchpolicy.envs.gym_slots import GymEnv, GymSlots, close_quietly, time_limit
from torchpolicy.envs.vector import make_pool, make_vector, vector_environment
from torchpolicy.envs.vector_supply import GymVector
from torchpolicy.policies.parts.encoders import Encoder, make_encoder
from torchpolicy.policies.parts.heads import make_head

SHARED = "Gymnasium's own MuJoCo environments of version 5, unchanged, on MuJoCo 3.0 or later"
"""Which MuJoCo environments the package steps itself."""

GymFactory = Callable[..., GymEnv | GymVector] | GymVector


def gym_environment(
    env: str | GymFactory,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    backend: str = "auto",
) -> Environment:
    """Describe a Gymnasium environment; one is made to look at.

    Args:
        env: A Gymnasium id, a callable that returns a ``gymnasium.Env`` (a class is one) or a
            ``gymnasium.vector.VectorEnv``, or such a simulator itself.
        env_args: Keywords for the environment.
        max_episode_steps: Time limit in steps, instead of the one that a Gymnasium id has; a callable's environment
            keeps its own limit, too, and the shorter of the two holds.
        backend: ``"gymnasium"``; ``"native"`` or ``"auto"``: slots share one MuJoCo data structure, where they can;
            ``"vector"`` or ``"envpool"``: what makes a vector environment of an id.

    Raises:
        ValueError: If it cannot be made, with Gymnasium's own reason.
    """
    if max_episode_steps is not None:
        max_episode_steps = check_count("max_episode_steps", max_episode_steps, at_least=1, at_most=LONGEST_EPISODE)
    if not isinstance(env_args, Mapping | None):
        raise ValueError(f"env_args must be a dictionary, got {env_args!r}")
    if isinstance(env, VectorEnv):
        if env_args:
            raise ValueError(f"env_args go with a callable or a name, got an object, {type(env).__name__}")
        return vector_environment(type(env).__name__, None, env, max_episode_steps, backend="vector")
    name, make = _name_and_maker(env, max_episode_steps, dict(env_args or {}), backend)
    example = _make_example(name, make)
    if isinstance(example, VectorEnv):
        kind = "envpool" if backend == "envpool" else "vector"
        return vector_environment(name, make, example, max_episode_steps, backend=kind, reusable=callable(env))
    try:
        if callable(env):
            _check_second(name, make, example)
        observation_space, action_space = _supported_spaces(name, example)
        encoder = make_encoder(observation_space)
        first = _first_observation(name, example, encoder)
        make_slots, note = None, ""
        if backend in ("auto", "native") and isinstance(env, str) and is_mujoco(example.spec):
            make_slots = _shared_slots(make, example)
            if make_slots is None:
                note = f"Gymnasium steps {name}; the faster slots in one MuJoCo data structure are for {SHARED}"
        threshold = example.spec.reward_threshold if example.spec else None
        limits = [limit for limit in (time_limit(example), max_episode_steps) if limit is not None]
    finally:
        close_quietly(example)
    return Environment(
        name=name,
        observation_space=observation_space,
        action_space=action_space,
        reward_threshold=threshold,
        time_limit=min(limits, default=None),
        make_slots=make_slots or partial(GymSlots, make, encoder, max_episode_steps if callable(env) else None),
        backend="native" if make_slots else "gymnasium",
        first_observation=first,
        note=note,
    )


def _name_and_maker(
    env: object, max_episode_steps: int | None, args: dict[str, Any], backend: str
) -> tuple[str, Callable[[], Any]]:
    """What to call the environment, and what makes one."""
    if isinstance(env, str):
        makers: dict[str, Callable[..., Any]] = {"vector": make_vector, "envpool": make_pool}
        return env, partial(makers.get(backend, _make_by_id), env, max_episode_steps, args)
    if callable(env):
        return getattr(env, "__name__", type(env).__name__), partial(env, **args)
    raise ValueError(f"env must be a Gymnasium id or a callable that returns a gymnasium.Env, got {env!r}")


def _make_example(name: str, make: Callable[[], object]) -> GymEnv | GymVector:
    """An environment to look at."""
    try:
        example: object = make()
    except gymnasium.error.NameNotFound as error:
        hint = "" if ":" in name else " What a package brings is named package:Name-v0, your own code pkg.mod:name."
        raise ValueError(f"{error}{_whole_name(str(error))}{hint}") from error
    except gymnasium.error.Error as error:
        raise ValueError(" ".join(str(error).split())) from error
    except STOPS:
        raise
    except BaseException as error:
        raise CodeError(f"making {name} failed: {in_a_line(error)}") from error
    if not isinstance(example, gymnasium.Env | VectorEnv):
        raise ValueError(f"{name} should return a gymnasium.Env, got {type(example).__name__}")
    return example


def is_mujoco(spec: EnvSpec | None) -> bool:
    """Whether an environment is one of Gymnasium's MuJoCo environments."""
    entry = None if spec is None else spec.entry_point
    return str(getattr(entry, "__module__", entry)).startswith("gymnasium.envs.mujoco")


def _shared_slots(make: Callable[[], GymEnv], example: GymEnv) -> MakeSlots | None:
    """What makes slots that share one MuJoCo data structure; None if the environment cannot be stepped in such."""
    limit = time_limit(example)
    if limit is None or not hasattr(importlib.import_module("mujoco"), "mj_getState"):  # before MuJoCo 3.0
        return None
    from torchpolicy.envs.mujoco.make import shared_slots  # needs the package mujoco, which is optional

    return shared_slots(make, example, limit)


def _check_second(name: str, make: Callable[[], GymEnv], example: GymEnv) -> None:
    """Refuse a callable that returns the same environment twice, or one with other spaces."""
    with blaming(f"making a second {name} failed"):
        second = make()
    if second is example:
        raise ValueError(f"{name} should make a new environment at each call, and returned the same one twice")
    others = _spaces_of(name, second)
    close_quietly(second)
    spaces = _spaces_of(name, example)
    if spaces != others:
        raise ValueError(f"{name} should have the same spaces each time it is made, got {spaces} and {others}")


def _supported_spaces(name: str, env: GymEnv) -> tuple[Space[Any], Space[Any]]:
    """The spaces of observations and actions; copies, whatever the environment does to its own.

    Raises:
        ValueError: If one of them is missing or not supported.
    """
    spaces: tuple[Space[Any], Space[Any]] = _spaces_of(name, env)
    if spaces[0] is None or spaces[1] is None:
        raise ValueError(f"{name} should have an observation_space and an action_space, got {spaces}")
    make_encoder(spaces[0])
    make_head(spaces[1])
    return deepcopy(spaces)


def _spaces_of(name: str, env: GymEnv) -> Any:
    """The spaces of observations and actions, each None if it is missing."""
    with blaming(f"{name}: its spaces cannot be read"):
        return getattr(env, "observation_space", None), getattr(env, "action_space", None)


def _whole_name(text: str) -> str:
    """A hint at the id, version included, of the name that Gymnasium proposes in an error's text."""
    proposed = re.search(r"Did you mean: `(.+?)`", text)
    version = find_highest_version(None, proposed[1]) if proposed else None
    return f" (Its whole name is {proposed[1]}-v{version}.)" if proposed and version is not None else ""


def _make_by_id(name: str, max_episode_steps: int | None, args: dict[str, Any]) -> GymEnv:
    """The environment of a Gymnasium id, which has to name its version."""
    spec = gymnasium.registry.get(name)
    if spec is None and ":" not in name:
        namespace, kind, version = parse_env_id(name)
        latest = find_highest_version(namespace, kind)
        if version is None and latest is not None:
            raise gymnasium.error.Error(
                f"{name} is not the whole name of an environment: did you mean {name}-v{latest}?"
            )
    if is_mujoco(spec) and importlib.util.find_spec("mujoco"):
        # MuJoCo 4 warns about Gymnasium's own models, once for every copy
        importlib.import_module("mujoco").set_mju_user_warning(_drop_warning)
    return gymnasium.make(name, max_episode_steps, disable_env_checker=True, **args)


def _drop_warning(text: str) -> None:
    """Do nothing with a warning that the user can do nothing about."""


def _first_observation(name: str, env: GymEnv, encoder: Encoder) -> Array:
    """(*O), the observation of a first reset."""
    with blaming(f"{name}: reset(seed=0) failed"):
        answer = env.reset(seed=0)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(f"expected (observation, info), got {type(answer).__name__}")
        first: Array = encoder.check([answer[0]])[0]
    if not np.isfinite(first).all():
        raise ValueError(f"{name}: reset gave an observation that is not finite: {first}")
    return first
