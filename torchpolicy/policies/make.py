"""Which policy a name, a module or a callable stands for."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import suggestion
from torchpolicy.base.discovery import entry, names
from torchpolicy.base.errors import CodeError
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
            space and the action space and returns a policy or module. None means ``mlp`` if `policy_args` has
            ``hidden``, and ``linear`` otherwise.
        policy_args: Keyword arguments of a policy that is chosen by name.
        spaces: The observation space and the action space.
        seed: Seed of the initial weights.

    Raises:
        ValueError: If `policy` is none of these, or an argument is unknown or out of range.
        CodeError: If the user's own code fails.
    """
    if policy is None:
        policy = usual_policy(policy_args)
    if isinstance(policy, str) and policy in CELLS:
        if policy_args.get("cell", policy) != policy:
            raise ValueError(f"cell {policy_args['cell']!r} goes with the policy 'recurrent', not with {policy!r}")
        policy, policy_args = "recurrent", {"cell": policy, **policy_args}
    if isinstance(policy, str):
        make = import_name(policy) if ":" in policy else policy_class(policy)
        known = inspect.signature(make).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        for name in policy_args:
            if name not in known and not takes_any:
                raise ValueError(f"unknown argument {name!r} for policy {policy!r}{suggestion(name, known)}")
        args = {"seed": seed, **policy_args} if "seed" in known else policy_args
        made = _call(make, policy, spaces, args)
    elif policy_args:
        raise ValueError(f"policy_args go with a policy chosen by name, got {policy!r}")
    elif isinstance(policy, nn.Module):
        made = policy
    elif hasattr(policy, "predict") and hasattr(policy, "policy"):
        raise ValueError(
            f"policy is a model of another library, {type(policy).__name__}: give its network alone, a module that "
            "turns observations into a logit for each action or a number for each action dimension; for "
            "stable-baselines3's PPO that is "
            "nn.Sequential(model.policy.mlp_extractor.policy_net, model.policy.action_net)"
        )
    elif callable(policy):
        made = _call(policy, getattr(policy, "__name__", repr(policy)), spaces, {})
    else:
        raise ValueError(f"policy must be a Policy, a name or a callable that makes one, got {policy!r}")
    if isinstance(made, Policy):
        return made
    if isinstance(made, nn.Module):
        return Policy(made, *spaces)
    raise ValueError(f"the policy's factory should return a Policy or a module, got {type(made).__name__}")


def _call(make: Callable[..., object], name: str, spaces: tuple[Space[Any], Space[Any]], args: Any) -> object:
    """What `make` returns for these spaces and arguments."""
    try:
        return make(*spaces, **args)
    except STOPS:
        raise
    except BaseException as error:
        if isinstance(error, ValueError) and isinstance(make, type) and make.__module__.startswith("torchpolicy."):
            raise  # one of our own policies has said what is wrong
        advice = "" if memory_needed(error) else " (it is called with the observation space and the action space)"
        raise CodeError(f"making the policy {name} failed: {in_a_line(error)}{advice}") from error
