"""Vector environments: simulators that step N sub-environments in one call."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium
from gymnasium import Space
from gymnasium.envs.registration import VectorizeMode
from gymnasium.spaces import Dict, Tuple
from gymnasium.vector import AutoresetMode

from torchpolicy.base.checks import check_count
from torchpolicy.base.user_code import blaming
from torchpolicy.envs.base import RUNAWAY_STEPS, Environment
from torchpolicy.envs.gym_slots import GymEnv, forget, remembers
from torchpolicy.envs.vector_slots import Kind, VectorSlots
from torchpolicy.envs.vector_supply import GymVector, Supply
from torchpolicy.envs.vector_tensors import VectorTensors
from torchpolicy.envs.vector_trial import Trial
from torchpolicy.policies.parts.encoders import BoxEncoder, make_encoder
from torchpolicy.policies.parts.heads import make_head

COUNT = 32
"""Sub-environments of a Gymnasium id by default."""


class Forgetful(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Makes a Box2D environment forget its earlier episodes at each reset."""

    def reset(self, **settings: Any) -> Any:
        forget(self.env)
        return self.env.reset(**settings)


def forgetful(env: GymEnv) -> GymEnv:
    """The environment, made to forget its earlier episodes if it remembers them."""
    return Forgetful(env) if remembers(env) else env


def make_vector(name: str, max_episode_steps: int | None, args: Mapping[str, Any]) -> GymVector:
    """The vector environment of a Gymnasium id, whose sub-environments take seeds of their own where they can.

    Args:
        name: The id.
        max_episode_steps: Time limit in steps, instead of the environment's own.
        args: Keywords of ``gymnasium.make_vec``, and of the environment.
    """
    given: dict[str, Any] = {"num_envs": COUNT, **args}
    mode, spec = given.get("vectorization_mode"), gymnasium.spec(name)
    own = spec.vector_entry_point is not None if mode is None else mode == VectorizeMode.VECTOR_ENTRY_POINT.value
    if not own:
        single = {"disable_env_checker": True, "vector_kwargs": {"autoreset_mode": AutoresetMode.DISABLED}}
        given = single | given | {"wrappers": (*given.get("wrappers", ()), forgetful)}
    if max_episode_steps is not None:
        given["max_episode_steps"] = max_episode_steps
    return gymnasium.make_vec(name, **given)


def make_pool(name: str, max_episode_steps: int | None, args: Mapping[str, Any]) -> GymVector:
    """EnvPool's environments of an id; arguments are those of :func:`make_vector`."""
    from torchpolicy.envs.envpool import EnvPool  # needs the package envpool, which is optional

    return EnvPool(name, max_episode_steps, **{"num_envs": COUNT, **args})


def vector_environment(
    name: str,
    make: Callable[[], GymVector] | None,
    example: GymVector,
    max_episode_steps: int | None,
    *,
    backend: str,
    reusable: bool = False,
) -> Environment:
    """Describe a vector environment.

    Args:
        name: What to call it.
        make: Makes one; None if `example` is the only one that there is.
        example: One that it made. It is played a few steps, to find out whether seeds are honoured.
        max_episode_steps: Time limit in steps; the simulator keeps its own limit, too, and the shorter of the two
            holds.
        backend: Who makes it, for the record.
        reusable: Whether to keep the example for whoever plays first; some simulators cannot be made twice.

    Raises:
        ValueError: If it is of a kind that cannot be played, or its first steps fail.
    """
    supply = Supply(make or example)
    try:
        spaces = _spaces(name, example)
        encoder, kind = make_encoder(spaces[0]), _kind(name, example)
        trial = Trial(name, example, encoder, spaces[1])
        kind, first = trial.find_out(kind)
    except BaseException:
        supply.abandon(example)
        raise
    if trial.lost:
        supply.abandon(example)
    elif reusable:
        supply.keep(example)
    else:
        supply.close(example)
    spec = getattr(example, "spec", None)
    own_limit = getattr(spec, "max_episode_steps", None)
    limits = [limit for limit in (own_limit, max_episode_steps) if limit is not None]
    stays = kind.device is not None and isinstance(encoder, BoxEncoder)
    limit = max_episode_steps or (RUNAWAY_STEPS if own_limit is None else own_limit)
    return Environment(
        name=name,
        observation_space=spaces[0],
        action_space=spaces[1],
        reward_threshold=getattr(spec, "reward_threshold", None),
        time_limit=min(limits, default=None),
        make_slots=partial(VectorSlots, supply, kind, encoder, limit),
        make_tensor_slots=partial(VectorTensors, supply, kind, encoder, limit) if stays else None,
        device=kind.device if stays else None,
        backend=backend,
        note=getattr(example, "differences", ""),
        first_observation=first,
        width=kind.width,
        seeded=kind.seeded,
        stoppable=kind.masked,
        release=supply.release,
        is_object=supply.is_object,
    )


def _spaces(name: str, env: GymVector) -> tuple[Space[Any], Space[Any]]:
    """The spaces of one sub-environment's observations and actions; copies, whatever is done to the simulator's own.

    Raises:
        ValueError: If one of them is missing or not supported.
    """
    found = []
    for attribute in ("single_observation_space", "single_action_space"):
        with blaming(f"{name}: {attribute} cannot be read"):
            space = getattr(env, attribute, None)
        if not isinstance(space, Space):
            raise ValueError(f"{name} should have a {attribute}, the space of one sub-environment, got {space!r}")
        found.append(space)
    if isinstance(found[0], Dict | Tuple):
        raise ValueError(
            f"{name} is a vector environment: its observations have to be one array, not a {type(found[0]).__name__} "
            "(gymnasium.wrappers.vector.FlattenObservation makes one of them)"
        )
    make_encoder(found[0])
    make_head(found[1])
    return deepcopy(found[0]), deepcopy(found[1])


def _kind(name: str, env: GymVector) -> Kind:
    """What a vector environment says of itself.

    Raises:
        ValueError: If it does not say how many sub-environments it has, or when it resets them.
    """
    width = check_count(f"num_envs of {name}", getattr(env, "num_envs", None), at_least=1)
    known = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
    try:
        return Kind(width, AutoresetMode(mode), False, None)
    except ValueError:
        raise ValueError(
            f"{name} should say in metadata['autoreset_mode'] when it resets a sub-environment whose episode has ended "
            f"({known}), got {mode!r}"
        ) from None
