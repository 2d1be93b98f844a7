"""Rebuilding a policy from its description and its tensors, and from the user's own module if it was built around one.

The description is made of plain values, as in ``policy.json`` and in every checkpoint.
"""

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
"""A policy of the user's own: the policy, its module, a function that makes either, or the name of such a function."""

DESCRIPTION: dict[str, Kind] = {
    "settings": maybe(POLICY),
    "observation_space": TABLE,
    "action_space": TABLE,
    "normalizes": FLAG,
}
"""Fields of a policy's description, and the kind of each."""


def describe(policy: Policy) -> dict[str, Any]:
    """A description from which :func:`rebuild` makes the policy again, as plain values.

    Raises:
        ValueError: If a space cannot be saved.
    """
    return {
        "settings": policy.settings,
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "normalizes": policy.normalizer is not None,
    }


def rebuild(path: Path, description: Mapping[str, Any], own: OwnPolicy | None) -> Policy:
    """Build the policy that a description stands for; :func:`fill` gives it its weights afterwards.

    Args:
        path: The file that holds the description, named in errors.
        description: Fields as in :data:`DESCRIPTION`.
        own: The user's own policy, which is taken instead of one built from the description's settings.

    Raises:
        CheckpointError: If the description does not fit `own`, or makes no policy.
        ValueError: If the run's policy was built around the user's own module, and `own` is None.
    """
    spaces = _space(path, description, "observation_space"), _space(path, description, "action_space")
    settings = description["settings"]
    if own is not None:
        policy = make_policy(own, {}, spaces, seed=0)
        if (policy.observation_space, policy.action_space) != spaces:
            raise CheckpointError(
                f"{path}: describes a policy from {spaces[0]} to {spaces[1]}, and the policy given has other spaces"
            )
    elif settings is None:
        raise ValueError(needs_policy(path.parent.parent))
    else:
        try:
            policy = policy_class(settings["policy"])(*spaces, **settings["policy_args"])
        except Exception as error:  # a constructor may raise anything when its arguments are wrong
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise CheckpointError(f"{path}: no policy can be built from its settings: {reason}") from error
    if description["normalizes"]:
        try:
            policy.normalize()
        except ValueError as error:
            raise CheckpointError(f"{path}: normalizes is true, but {error}") from error
    return policy


def fill(policy: Policy, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a policy all of its tensors.

    Raises:
        CheckpointError: If one is missing, unknown, or of another shape or dtype; the policy is then unchanged.
    """
    problems = misfits(policy, tensors)
    if problems:
        raise CheckpointError(f"{path}: does not fit the policy: {'; '.join(problems)}")
    policy.load_state_dict(dict(tensors))


def misfits(policy: Policy, tensors: Mapping[str, Tensor]) -> list[str]:
    """The reasons why tensors cannot be the state of a policy, sorted; empty if they can."""
    expected = policy.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        new, old = tensors[name], expected[name]
        if new.shape != old.shape:
            problems.append(f"{name} has shape {tuple(new.shape)}, not {tuple(old.shape)}")
        elif not torch.can_cast(new.dtype, old.dtype):
            problems.append(f"{name} is {new.dtype}, not {old.dtype}")
        elif not new.isfinite().all() and old.isfinite().all():  # a module's own mask may hold infinities
            problems.append(f"{name} is not finite")
    return sorted(problems)


def needs_policy(run_dir: str | Path) -> str:
    """The message for a run that needs the user's own policy and was not given it."""
    return (
        f"the policy of {run_dir} was built around a module of your own: name it again, --policy pkg.mod:factory "
        "(in Python: policy=YourModule())"
    )


def _space(path: Path, description: Mapping[str, Any], name: str) -> Space[Any]:
    """The space that a field of a description holds."""
    try:
        return space_from_json(description[name])
    except Exception as error:  # Gymnasium asserts what it expects, NumPy runs out of memory
        raise CheckpointError(f"{path}: {name} is not a valid space: {type(error).__name__}: {error}") from error
