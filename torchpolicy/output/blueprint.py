"""What a policy is rebuilt from: a description, its tensors, and the user's own module where it is around one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import Space
from torch import Tensor, nn

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import FLAG, TABLE, Kind, maybe
from torchpolicy.output.config import POLICY
from torchpolicy.policies.base import Policy
from torchpolicy.policies.make import PolicyFactory, make_policy, policy_class
from torchpolicy.policies.parts.spaces import space_from_json, space_to_json

OwnPolicy = Policy | nn.Module | PolicyFactory | str
"""A policy of the user's own: itself, its module, or what makes it, which may be a name."""

DESCRIPTION: dict[str, Kind] = {
    "settings": maybe(POLICY),
    "observation_space": TABLE,
    "action_space": TABLE,
    "normalizes": FLAG,
}
"""What to rebuild a policy from."""


def describe(policy: Policy) -> dict[str, Any]:
    """What to rebuild a policy from, as plain values."""
    return {
        "settings": policy.settings,
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "normalizes": policy.normalizer is not None,
    }


def rebuild(path: Path, description: Mapping[str, Any], own: OwnPolicy | None) -> Policy:
    """A policy as a description, or `own`, has it, its weights yet to come."""
    spaces = _space(path, description, "observation_space"), _space(path, description, "action_space")
    settings = description["settings"]
    if own is not None:
        policy = make_policy(own, {}, spaces, seed=0)
        if (policy.observation_space, policy.action_space) != spaces:
            raise CheckpointError(f"{path}: is of a policy from {spaces[0]} to {spaces[1]}, not of the one given")
    elif settings is None:
        raise ValueError(needs_policy(path.parent.parent))
    else:
        try:
            policy = policy_class(settings["policy"])(*spaces, **settings["policy_args"])
        except Exception as error:  # whatever a constructor makes of wrong arguments
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CheckpointError(f"{path}: settings make no policy: {reason}") from error
    if description["normalizes"]:
        try:
            policy.normalize()
        except ValueError as error:
            raise CheckpointError(f"{path}: normalizes is true, but {error}") from error
    return policy


def fill(policy: Policy, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a policy its tensors, all or none."""
    problems = misfits(policy, tensors)
    if problems:
        raise CheckpointError(f"{path}: does not fit the policy: {'; '.join(problems)}")
    policy.load_state_dict(dict(tensors))


def misfits(policy: Policy, tensors: Mapping[str, Tensor]) -> list[str]:
    """What keeps tensors from being the state of a policy."""
    expected = policy.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        new, old = tensors[name], expected[name]
        if new.shape != old.shape:
            problems.append(f"{name} has shape {tuple(new.shape)}, not {tuple(old.shape)}")
        elif not torch.can_cast(new.dtype, old.dtype):
            problems.append(f"{name} is {new.dtype}, not {old.dtype}")
        elif not new.isfinite().all() and old.isfinite().all():  # a mask of a module's own may be infinite
            problems.append(f"{name} is not finite")
    return sorted(problems)


def needs_policy(run_dir: str | Path) -> str:
    """What to say of a run where a policy of the user's own is missing."""
    return (
        f"the policy of {run_dir} is around a module of your own: name it again, --policy pkg.mod:factory "
        "(in Python: policy=YourModule())"
    )


def _space(path: Path, description: Mapping[str, Any], name: str) -> Space[Any]:
    """A space of a description."""
    try:
        return space_from_json(description[name])
    except Exception as error:  # Gymnasium asserts what it expects, NumPy runs out of memory
        raise CheckpointError(f"{path}: {name} is no space: {type(error).__name__}: {error}") from error
