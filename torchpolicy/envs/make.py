"""Finds the environment, and the backend, that a name or a callable stands for."""

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

import gymnasium
from gymnasium.spaces import Dict, Tuple
from gymnasium.vector import VectorEnv

from torchpolicy.base.checks import LONGEST_EPISODE, check_choice, check_count
from torchpolicy.base.discovery import entry, names
from torchpolicy.base.user_code import blaming, import_name
from torchpolicy.envs.base import Environment
from torchpolicy.envs.gym import SHARED, GymFactory, gym_environment
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.heads import make_head

BACKENDS = ("auto", "gymnasium", "native", "vector", "envpool")

EnvFactory = GymFactory | type[TensorEnv] | TensorEnv

GYM_VERSION = re.compile(r"-v\d+$")  # the end of "module:Env-v0", a Gymnasium id with a colon


@cache
def twins() -> dict[str, type[TensorEnv]]:
    """Our environments on tensors, each by the Gymnasium id of the environment that it is a twin of."""
    found = {}
    for name in names("envs.native"):
        twin = entry("envs.native", name, TensorEnv)  # type: ignore[type-abstract]
        if twin.gymnasium_id is not None:
            found[twin.gymnasium_id] = twin
    return found


def make_environment(
    env: str | EnvFactory,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    backend: str = "auto",
) -> Environment:
    """Describe an environment.

    Args:
        env: A Gymnasium id, ``"pkg.mod:callable"``, a callable that returns a ``gymnasium.Env`` (a class is one) or a
            ``gymnasium.vector.VectorEnv``, a :class:`TensorEnv`, class or object, or a ``VectorEnv`` itself, which is
            then the only one, and never closed.
        env_args: Keywords for the environment.
        max_episode_steps: Time limit in steps, instead of the environment's own.
        backend: ``"gymnasium"``; ``"native"``, a twin on tensors of the Gymnasium id, or shared slots of Gymnasium's
            MuJoCo environments; ``"vector"``, what ``gymnasium.make_vec`` makes of the id; ``"envpool"``, EnvPool's
            of the same id; or ``"auto"``, what is native if its returns are Gymnasium's to the last bit, otherwise
            Gymnasium.

    Raises:
        ValueError: If it cannot be made, or has no such backend.
    """
    check_choice("backend", backend, BACKENDS)
    if not isinstance(env_args, Mapping | None):
        raise ValueError(f"env_args must be a dictionary, got {env_args!r}")
    if hasattr(env, "step") and hasattr(env, "reset") and not (callable(env) or isinstance(env, TensorEnv | VectorEnv)):
        known = getattr(getattr(env, "spec", None), "id", None)
        name = "its id" if known is None else repr(known)
        make = f"such as {type(env).__name__}" if known is None else f"lambda: gymnasium.make({name})"
        raise ValueError(
            f"env is an environment itself, and a run makes several of its own: give {name}, or a callable, {make}"
        )
    factory: Any = import_name(env) if isinstance(env, str) and is_own_code(env) else env
    on_tensors = isinstance(factory, TensorEnv) or (inspect.isclass(factory) and issubclass(factory, TensorEnv))
    twin = twins().get(factory) if isinstance(factory, str) else None
    if on_tensors and backend in ("gymnasium", "vector", "envpool"):
        raise ValueError(f"{env} is an environment on tensors, which Gymnasium does not have")
    if twin is not None and (backend == "native" or (backend == "auto" and twin.bit_equal and _takes(twin, env_args))):
        factory, on_tensors = twin, True
    if on_tensors:
        return tensor_environment(factory, env_args, max_episode_steps)
    environment = gym_environment(factory, env_args, max_episode_steps, backend)
    if backend not in ("auto", "native") and environment.backend != backend:
        what = "a vector environment" if environment.backend == "vector" else "a single environment"
        raise ValueError(f"{environment.name} returns {what}: leave out backend, or say {environment.backend!r}")
    if backend == "native" and environment.backend != "native":
        raise ValueError(f"there is no native {env}; there are {', '.join(sorted(twins()))}, and {SHARED}")
    return environment


def is_own_code(env: str) -> bool:
    """Whether a name stands for the user's own code, ``pkg.mod:callable``, and not for a Gymnasium id."""
    return ":" in env and not GYM_VERSION.search(env)


def tensor_environment(
    env: type[TensorEnv] | TensorEnv, env_args: Mapping[str, Any] | None = None, max_episode_steps: int | None = None
) -> Environment:
    """Describe an environment on tensors.

    Raises:
        ValueError: If it cannot be made, or has spaces that are not supported.
    """
    if max_episode_steps is not None:
        max_episode_steps = check_count("max_episode_steps", max_episode_steps, at_least=1, at_most=LONGEST_EPISODE)
    args = dict(env_args or {})
    if isinstance(env, TensorEnv):
        if args:
            raise ValueError(f"env_args go with a class or a name, got an object, {type(env).__name__}")
        made = env
    else:
        with blaming(f"making {env.__name__} failed"):
            made = env(**args)
    kind = type(made).__name__
    for name in ("observation_space", "action_space", "time_limit"):
        if not hasattr(made, name):
            raise ValueError(f"{kind} should have the attribute {name}")
    if isinstance(made.observation_space, Dict | Tuple):
        raise ValueError(f"{kind} is an environment on tensors: its observations have to be of one space, not a Dict")
    make_encoder(made.observation_space)
    make_head(made.action_space)
    limit = check_count(f"time_limit of {kind}", made.time_limit, at_least=1)

    def refuse(*_: object) -> NoReturn:
        raise ValueError(f"{kind} is an environment on tensors: play it in a TensorRollout")

    return Environment(
        name=made.gymnasium_id or kind,
        observation_space=made.observation_space,
        action_space=made.action_space,
        reward_threshold=made.reward_threshold,
        time_limit=limit if max_episode_steps is None else max_episode_steps,
        make_slots=refuse,
        backend="native",
        tensor_env=made,
    )


def _takes(env: type[TensorEnv], args: Mapping[str, Any] | None) -> bool:
    """Whether an environment has all these arguments."""
    return set(args or {}) <= set(inspect.signature(env).parameters)


def known_threshold(env: str) -> float | None:
    """The return at which one of Gymnasium's registered environments counts as solved; None if it has none.

    Nothing is imported or made for it, so an environment of another package, or of the user's own, has none.
    """
    spec = gymnasium.registry.get(env)
    return None if spec is None or spec.reward_threshold is None else float(spec.reward_threshold)
