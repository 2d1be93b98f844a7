"""Which policy a name, a module or a callable stands for."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import suggestion
from torchpolicy.base.discovery import entry, names
from torchpolicy.base.errors import CodeError
from torchpolicy.base.user_code import STOPS, import_name, in_a_line
from torchpolicy.policies.base import Policy

PolicyFactory = Callable[[Space[Any], Space[Any]], Policy | nn.Module]


def policy_class(name: str) -> Callable[..., Policy]:
    """The policy called `name`."""
    known = names("policies")
    if name not in known:
        raise ValueError(f"unknown policy {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    return entry("policies", name, Policy)


def make_policy(
    policy: Policy | nn.Module | PolicyFactory | str | None,
    policy_args: Mapping[str, Any],
    spaces: tuple[Space[Any], Space[Any]],
    seed: int,
) -> Policy:
    """The policy that `policy` and `policy_args` stand for.

    Args:
        policy: A policy, a module, a name, ``"pkg.mod:factory"``, or a callable from (observation space,
            action space) to a policy or module. None: ``mlp`` if `policy_args` has ``hidden``, else ``linear``.
        policy_args: Keywords for a policy chosen by name.
        spaces: Of observations and actions.
        seed: Of the initial weights.
    """
    if policy is None:
        policy = "mlp" if "hidden" in policy_args else "linear"
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
            f"policy is a model of another library, {type(policy).__name__}: give its network alone, a module from "
            "observations to a logit for each action or a number for each action dimension; of stable-baselines3's PPO "
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
    """A policy from what makes it."""
    try:
        return make(*spaces, **args)
    except STOPS:
        raise
    except BaseException as error:
        if isinstance(error, ValueError) and isinstance(make, type) and make.__module__.startswith("torchpolicy."):
            raise  # one of our own policies has said what is wrong
        raise CodeError(
            f"making the policy {name} failed: {in_a_line(error)} "
            "(it is called with the observation space and the action space)"
        ) from error
