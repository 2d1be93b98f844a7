"""Which policy a name, a module or a callable stands for."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import suggestion
from torchpolicy.base.discovery import entry, names
from torchpolicy.base.errors import CodeError
from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.base.user_code import STOPS, import_name, in_a_line, memory_needed
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.cells import CELLS

PolicyFactory = Callable[[Space[Any], Space[Any]], Policy | nn.Module]
"""A function of the user's own that makes a policy, or a module, for an observation space and an action space."""


def policy_names() -> list[str]:
    """Every name that stands for a policy."""
    return sorted([*names("policies"), *CELLS])


def policy_class(name: str) -> Callable[..., Policy]:
    """The class of the policy called `name`.

    Raises:
        ValueError: If no policy has that name.
    """
    if name not in names("policies"):
        known = policy_names()
        raise ValueError(f"unknown policy {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    return entry("policies", name, Policy)


def usual_policy(policy_args: Mapping[str, Any]) -> str:
    """Name of the policy that arguments stand for by themselves."""
    return "mlp" if "hidden" in policy_args else "linear"


def make_policy(
    policy: Policy | nn.Module | PolicyFactory | str | None,
    policy_args: Mapping[str, Any],
    spaces: tuple[Space[Any], Space[Any]],
    seed: int,
) -> Policy:
    """The policy that `policy` and `policy_args` stand for.

    Args:
        policy: A policy, a module, a policy's name, ``"pkg.mod:factory"``, or a callable that takes the observation
            space and the action space, and `seed` if it has such a parameter, and returns a policy or module. None
            means ``mlp`` if `policy_args` has ``hidden``, and ``linear`` otherwise.
        policy_args: Keyword arguments of a policy that is chosen by name.
        spaces: The observation space and the action space.
        seed: Seed of the initial weights, and of torch's random numbers while a function makes them.

    Raises:
        ValueError: If `policy` is none of these, or an argument is unknown or out of range.
        CodeError: If the user's own code fails.
    """
    if policy is None:
        policy = usual_policy(policy_args)
    name = policy if isinstance(policy, str) else getattr(policy, "__name__", repr(policy))
    if isinstance(policy, str) and policy in CELLS:
        if policy_args.get("cell", policy) != policy:
            raise ValueError(f"cell {policy_args['cell']!r} goes with the policy 'recurrent', not with {policy!r}")
        policy, policy_args = policy_class("recurrent"), {"cell": policy, **policy_args}
    elif isinstance(policy, str):
        policy = import_name(policy) if ":" in policy else policy_class(policy)
    elif policy_args:
        raise ValueError(f"policy_args go with a policy chosen by name, got {policy!r}")
    made: object
    if isinstance(policy, nn.Module):
        if policy_args:
            raise ValueError(f"policy_args go with a function that makes a policy, and {name!r} is a module")
        made = policy
    elif hasattr(policy, "predict") and hasattr(policy, "policy"):
        raise ValueError(
            f"policy is a model of another library, {type(policy).__name__}: give its network alone, a module that "
            "turns observations into a logit for each action or a number for each action dimension; for "
            "stable-baselines3's PPO that is "
            "nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)"
        )
    elif callable(policy):
        made = _call(policy, name, spaces, _with_seed(policy, name, policy_args, seed), seed)
    else:
        where = f" under the name {name}" if isinstance(name, str) and ":" in name else ""
        raise ValueError(f"policy must be a Policy, a name or a callable that makes one, got {policy!r}{where}")
    if isinstance(made, Policy):
        return made
    if isinstance(made, nn.Module):
        return Policy(made, *spaces)
    raise ValueError(f"the policy's factory should return a Policy or a module, got {type(made).__name__}")


def _with_seed(make: Callable[..., object], name: str, args: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
    """The arguments of `make`, with the seed if it takes one that is not given yet.

    Raises:
        ValueError: If it does not take one of the arguments.
    """
    try:
        known = inspect.signature(make).parameters
    except (TypeError, ValueError):  # of some functions that are written in C
        return args
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for each in args:
        if each not in known and not takes_any:
            raise ValueError(f"unknown argument {each!r} for policy {name!r}{suggestion(each, known)}")
    given = isinstance(make, partial) and "seed" in make.keywords
    return {"seed": seed, **args} if "seed" in known and not given else args


def _call(
    make: Callable[..., object], name: str, spaces: tuple[Space[Any], Space[Any]], args: Mapping[str, Any], seed: int
) -> object:
    """What `make` returns for these spaces and arguments, if torch's random numbers are those of the seed."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(seed, Stream.POLICY))
            return make(*spaces, **args)
    except STOPS:
        raise
    except BaseException as error:
        if isinstance(error, ValueError) and isinstance(make, type) and make.__module__.startswith("torchpolicy."):
            raise  # one of our own policies has said what is wrong
        advice = "" if memory_needed(error) else " (it is called with the observation space and the action space)"
        raise CodeError(f"making the policy {name} failed: {in_a_line(error)}{advice}") from error
