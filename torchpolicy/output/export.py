"""A policy that leaves the house: a program of torch.export, which needs torch and nothing of ours."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Dict, Tuple
from torch import Tensor, nn

from torchpolicy.policies.base import Policy


class Greedy(nn.Module):
    """Observations (N, *O) to the actions that :meth:`Policy.act` chooses, (N, *A).

    Args:
        policy: Its weights and its normaliser as they are now.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy
        self._normalize = None if policy.normalizer is None else policy.normalizer.frozen(policy.dtype, policy.device)
        policy.normalizer = None

    def forward(self, observations: Any) -> Tensor:
        pipeline = self._policy.pipeline
        inputs = pipeline.encode(self._policy.encoder.pack(observations))
        _, choices = pipeline.choose(inputs, self._normalize, noise=None)
        return self._policy.head.to_actions(choices)


def export(policy: Policy, path: str | Path = "policy.pt2") -> Path:
    """Write a policy as a program of ``torch.export``, with what is done to observations and actions inside.

    Where torch is, and nothing else, this acts greedily, on any number of observations at a time::

        act = torch.export.load("policy.pt2").module()
        actions = act(observations)  # (N, *O) to (N, *A)

    Observations are tensors in the dtype of the space; of a Dict or Tuple, a dictionary or tuple of them.

    Args:
        policy: Stays as it is.
        path: Ends in ``.pt2``.

    Returns:
        `path`.

    Raises:
        ValueError: If it cannot be traced, or not be written.
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    path = Path(path)
    if path.suffix != ".pt2":
        raise ValueError(f"path should end in .pt2, got {path}")
    kind = type(policy.net).__name__
    program = Greedy(copy.deepcopy(policy).cpu()).eval().requires_grad_(False)
    example = _pair(policy.observation_space)
    batch = torch.export.Dim("batch", min=1)
    shapes = torch.utils._pytree.tree_map(lambda _: {0: batch}, example)
    try:
        with torch.no_grad():
            exported = torch.export.export(program, (example,), dynamic_shapes=(shapes,))
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
    """Two observations of a space, as a batch of zeros."""
    if isinstance(space, Dict):
        return {key: _pair(part) for key, part in space.items()}
    if isinstance(space, Tuple):
        return tuple(_pair(part) for part in space)
    return torch.from_numpy(np.zeros((2, *(space.shape or ())), space.dtype))
