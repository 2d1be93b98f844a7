"""Exporting a policy as a program of ``torch.export``, which needs torch but not this package."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Dict, Tuple
from torch import nn

from torchpolicy.base.user_code import no_exit
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.state import State


class Greedy(nn.Module):
    """Maps observations (N, *O) to the actions (N, *A) that :meth:`Policy.act` chooses, and a state to the next state.

    Args:
        policy: The policy to export, with its present weights and normaliser. It is changed: pass a copy.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._normalize = None if policy.normalizer is None else policy.normalizer.frozen(policy.dtype, policy.device)
        policy.normalizer = None

    def initial_state(self, *batch: int) -> State:
        """The state (*batch, …) with which episodes begin."""
        return self._policy.initial_state(*batch)

    def forward(self, observations: Any, state: State = None) -> Any:
        policy = self._policy
        inputs = policy.pipeline.encode(policy.encoder.pack(observations))
        inputs = inputs if self._normalize is None else self._normalize(inputs)
        output, state = policy.net(inputs, state) if policy.recurrent else (policy.net(inputs), None)
        actions = policy.head.to_actions(policy.head.choose(output))
        return (actions, state) if policy.recurrent else actions


@no_exit()
def export(policy: Policy, path: str | Path = "policy.pt2") -> Path:
    """Write a policy as a program of ``torch.export`` that also encodes observations and decodes actions.

    The program needs torch only. It acts greedily, on any number of observations at a time::

        act = torch.export.load("policy.pt2").module()
        actions = act(observations)  # (N, *O) to (N, *A)

    Observations are tensors in the dtype of the space, or a dictionary or tuple of them for a Dict or Tuple space. The
    program of a recurrent policy takes its state, too, and returns the next one. The first is
    ``policy.initial_state(N)``, zeros for this package's own recurrent policies::

        actions, state = act(observations, state)

    Args:
        policy: The policy to export. It is not changed.
        path: The file to write; its name ends in ``.pt2``.

    Returns:
        The file's path.

    Raises:
        ValueError: If the policy cannot be traced, or the file cannot be written.
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"path should end in .pt2, got {path}")
    kind = type(policy.net).__name__
    program = Greedy(copy.deepcopy(policy).cpu()).eval().requires_grad_(False)
    example = (_pair(policy.observation_space), *([program.initial_state(2)] if policy.recurrent else []))
    batch = torch.export.Dim("batch", min=1)
    shapes = torch.utils._pytree.tree_map(lambda _: {0: batch}, example)
    try:
        with torch.no_grad():
            exported = torch.export.export(program, example, dynamic_shapes=shapes)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{kind} cannot be exported: {type(error).__name__}: {reason}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.export.save(exported, path)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error
    return path


def _pair(space: Space[Any]) -> Any:
    """A batch of two observations of a space, all zeros."""
    if isinstance(space, Dict):
        return {key: _pair(part) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(_pair(part) for part in space)
    return torch.from_numpy(np.zeros((2, *(space.shape or ())), space.dtype))
