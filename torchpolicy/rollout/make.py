"""What plays a policy in an environment: which rollout, in how many slots, and whether it can be compiled."""

import os
import shutil
from importlib.util import find_spec
from math import ceil, prod

import torch

from torchpolicy.base.device import memory_of
from torchpolicy.base.processes import ALONE, Group
from torchpolicy.envs.base import Environment
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.slots import SLOTS, Rollout
from torchpolicy.rollout.tensor import WIDEST, TensorRollout
from torchpolicy.vectors.low_rank import numbers_each
from torchpolicy.vectors.params import ParamVector

COMPILED_WIDEST, GPU_WIDEST = 16384, 2**20
"""The most slots by default: compiled, and on a GPU."""

ROOM, GPU_SHARE = 2**28, 16
"""Bytes that the weights of all slots may take by default; on a GPU, its memory divided by this."""

MOMENTS_BYTES = 48
"""Bytes that moments take for each number that is observed, while they are added up."""

COMPILERS = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
"""C++ compilers, the first of which that is there torch uses."""


def choose_slots(
    environment: Environment,
    policy: Policy,
    episodes: int,
    *,
    compile: bool = False,
    noise_rank: int | None = None,
) -> int:
    """How many slots a rollout gets by default.

    Args:
        environment: The environment.
        policy: The policy that will play in it.
        episodes: Episodes that there are to play at once.
        compile: Whether the rollout will be compiled.
        noise_rank: The rank of the populations that will play; None unless it is low.
    """
    if not environment.on_tensors:
        return 32 * ceil((environment.width or SLOTS) / 32)
    vector = ParamVector(policy.net)
    each = numbers_each(vector.slices, noise_rank) * vector.dtype.itemsize
    widest, room = COMPILED_WIDEST if compile else WIDEST, ROOM
    if vector.device.type != "cpu":
        widest, room = GPU_WIDEST, memory_of(vector.device) // GPU_SHARE
        each += 0 if policy.normalizer is None else MOMENTS_BYTES * prod(policy.encoder.input_shape)
    fitting = room // max(1, each)
    return min(widest, 32 * ceil(episodes / 32), max(32, fitting - fitting % 32))


def make_rollout(
    environment: Environment,
    policy: Policy,
    *,
    slots: int | None = None,
    group: Group = ALONE,
    compile: bool = False,
    noise_rank: int | None = None,
) -> Rollout:
    """What plays a policy in an environment: a :class:`TensorRollout` if that is on tensors, else a :class:`Rollout`.

    The arguments are theirs; `slots` None stands for as many as are good for :data:`WIDEST` episodes.
    """
    if slots is None:
        slots = choose_slots(environment, policy, WIDEST, compile=compile, noise_rank=noise_rank)
    if environment.on_tensors:
        return TensorRollout(environment, policy, slots=slots, group=group, compile=compile, noise_rank=noise_rank)
    return Rollout(environment, policy, slots=slots, group=group, noise_rank=noise_rank)


def check_compile(environment: Environment, device: torch.device) -> None:
    """Refuse to compile a rollout that cannot be compiled, or without a compiler.

    Raises:
        ValueError: If the environment is not on tensors, or something that compiling needs is not there.
    """
    if not environment.on_tensors:
        raise ValueError(f"compile=True is for environments on tensors, which {environment.name} is not (see backend)")
    if device.type != "cpu" and not find_spec("triton"):
        raise ValueError(f"compile=True on {device.type} needs the package triton, which is not installed")
    if not any(compiler and shutil.which(compiler) for compiler in COMPILERS):
        raise ValueError("compile=True needs a C++ compiler, g++ or clang++, and there is none")


def check_stopping(environment: Environment) -> None:
    """Refuse to stop episodes early where they are stepped all together.

    Raises:
        ValueError: If the environment is on tensors, or is a simulator that alone decides when episodes begin.
    """
    if not environment.stoppable:
        raise ValueError(
            f"stop_early=True saves nothing in {environment.name}, which resets a sub-environment at the end of its "
            "episode only (a vector environment with autoreset_mode DISABLED can be reset at any time)"
        )
    if environment.on_tensors:
        raise ValueError(
            f"stop_early=True is for environments that are stepped one by one, and {environment.name} is on tensors "
            "(backend='gymnasium' steps those of Gymnasium one by one)"
        )
