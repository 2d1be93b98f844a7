"""A run put together and checked, before anything of it is started."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from math import isfinite, nan
from typing import Any

import torch
from torch import nn

from torchpolicy.callbacks import Callback
from torchpolicy.calling import check_callbacks
from torchpolicy.catalog import (
    Algorithm,
    PolicyFactory,
    algorithm_class,
    check_hyperparameters,
    check_place,
    hyperparameters_of,
    make_algorithm,
    make_policy,
)
from torchpolicy.checks import check_seed
from torchpolicy.device import find_device
from torchpolicy.environment_probe import check_environment
from torchpolicy.environments import EnvFactory, make_environment
from torchpolicy.envs.base import Environment
from torchpolicy.foreign import no_exit
from torchpolicy.learn.base import Learner
from torchpolicy.memory import check_memory, enough_memory
from torchpolicy.module_probe import check_policy
from torchpolicy.params import ParamVector
from torchpolicy.plan import Plan
from torchpolicy.policies.base import Policy
from torchpolicy.population import numbers_each
from torchpolicy.runs import name_of
from torchpolicy.search.base import Search
from torchpolicy.tensor_rollout import choose_slots

DEFAULT_TOTAL_STEPS = 1_000_000

VECTORS = 35
"""As long as the policy's weights, that a run holds at its peak: a search's, a checkpoint's and so on. Measured."""

COMPILERS = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
"""Of which torch uses the first that there is."""


@dataclass(frozen=True)
class Job:
    """What a run consists of.

    Attributes:
        environment: Where it plays.
        policy: What it trains.
        algorithm: With what.
        plan: How long.
        slots: Of the rollout.
        compile: Whether it is compiled.
        callbacks: The user's.
        noise_rank: Of the search's noise, if that is low.
        memory: Bytes that it will take, about, beside what torch does.
        config: All of it as plain values, for ``config.json``.
        code: What was given as `env` and `policy`; None for a policy that the run's files make again.
        notes: What there is to say about it at the start.
        identity: Of the run in its folder; None as long as it has none.
    """

    environment: Environment
    policy: Policy
    algorithm: Algorithm
    plan: Plan
    slots: int
    compile: bool
    callbacks: Sequence[Callback]
    noise_rank: int | None
    memory: int
    config: dict[str, Any]
    code: dict[str, object]
    notes: Sequence[str]
    identity: str | None = None


@enough_memory()
@no_exit()
def make_job(
    env: str | EnvFactory,
    algorithm: str | Algorithm,
    *,
    env_args: Mapping[str, Any] | None,
    policy: Policy | nn.Module | PolicyFactory | str | None,
    policy_args: Mapping[str, Any] | None,
    seed: int,
    target: float | str | None,
    max_episode_steps: int | None,
    backend: str,
    compile: bool,
    device: str,
    hyperparameters: Mapping[str, Any],
    preset: str | None,
    weights_given: bool,
    callbacks: Sequence[object],
    strict: bool = False,
    **plan: Any,
) -> Job:
    """Put a run together from the arguments of :func:`torchpolicy.train`; `plan` are those of :class:`Plan`.

    For the record, `preset` is the name of the preset that some of them come from, and `weights_given` says whether
    the run begins with weights, or a search, that no seed makes again. `strict` refuses an environment of which it is
    not true that an episode is a pure function of its seed and the actions.

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
    """
    seed = check_seed(seed)
    called = check_callbacks(callbacks)
    if not isinstance(algorithm, str | Algorithm):
        raise ValueError(f"algorithm must be a name, a search or a learner, got {algorithm!r}")
    algorithm_kind = algorithm_class(algorithm) if isinstance(algorithm, str) else type(algorithm)
    check_hyperparameters(algorithm_kind, hyperparameters)
    environment = make_environment(env, env_args, max_episode_steps, backend)
    place = find_device(device)
    on_tensors = environment.tensor_env is not None
    if compile:
        _check_compiler(on_tensors, environment.name, place)
    if issubclass(algorithm_kind, Learner) and (
        plan["reevaluate"] or plan["survival_bonus"] or plan["failed"] != "dropped"
    ):
        raise ValueError(
            f"{algorithm_kind.__name__} has no candidates: reevaluate, survival_bonus and failed are for searches"
        )
    if plan["episodes"] is None:
        plan["episodes"] = algorithm_kind.episodes if issubclass(algorithm_kind, Learner) else 1
    if isinstance(algorithm, Learner) and policy is None:
        policy = algorithm.policy
    goal = None
    if plan["generations"] is plan["total_steps"] is plan["seconds"] is None:
        plan["total_steps"], goal = DEFAULT_TOTAL_STEPS, environment.reward_threshold
    check_place(algorithm, place)
    trained = _moved(make_policy(policy, policy_args or {}, environment.spaces, seed), place)
    if plan["normalize_observations"] is None:
        plan["normalize_observations"] = trained.normalizer is not None
    settled = Plan(seed=seed, target=_parse_target(target, auto=goal), **plan)
    if settled.normalize_observations:
        trained.normalize()
    elif trained.normalizer is not None:
        raise ValueError("normalize_observations is False, and the policy normalises observations")
    vector = ParamVector(trained.net)
    check_memory(VECTORS * vector.dim * vector.dtype.itemsize, 1, place)  # before it is tried out, which takes some
    check_policy(trained, environment.first_observation)
    made = make_algorithm(algorithm, hyperparameters, trained, seed)
    known = hyperparameters_of(algorithm_kind)
    if isinstance(algorithm, str):
        recorded = {name: hyperparameters.get(name, known[name].default) for name in known}
        recorded |= {"std": hyperparameters.get("std")} if "std" in known else {}  # None: each layer's own
    else:
        recorded = {name: getattr(made, name, None) for name in known}
    at_once = max(settled.episodes * (made.population if isinstance(made, Search) else 1), settled.eval_episodes)
    noise_rank = made.noise_rank if isinstance(made, Search) else None
    slots = choose_slots(environment, trained, at_once, compile=compile, noise_rank=noise_rank)
    config = {
        "env": name_of(env),
        "env_args": dict(env_args or {}),
        "max_episode_steps": max_episode_steps,
        "preset": preset,
        "algorithm": algorithm_kind.__name__.lower(),
        "hyperparameters": recorded,
        "policy": trained.settings,
        "initial_weights": "given" if weights_given else "of the seed",
        "net": {name: list(tensor.shape) for name, tensor in trained.net.state_dict().items()},
        **asdict(settled),
        "slots": slots,
        "backend": "native" if on_tensors else "gymnasium",
        "compile": compile,
        "device": device,
    }
    memory = _memory(made, vector, slots, noise_rank)
    made_again = trained.net if policy is None or policy_args else policy  # which of these can be named to a command
    code: dict[str, object] = {"env": env, "policy": None if trained.settings is not None else made_again}
    impure = check_environment(environment)
    if impure and strict:
        raise ValueError(f"{impure}; strict=True refuses that")
    notes = [impure] if impure else []
    return Job(environment, trained, made, settled, slots, compile, called, noise_rank, memory, config, code, notes)


def _memory(algorithm: Algorithm, vector: ParamVector, slots: int, rank: int | None) -> int:
    """Bytes that a run takes, about: a population, the weights in all slots, and vectors as long as the policy's."""
    drawn = 0
    if isinstance(algorithm, Search):
        drawn = algorithm.population // (2 if algorithm.mirrored and rank else 1)  # a pair has its factors in common
    return ((drawn + slots) * numbers_each(vector.slices, rank) + VECTORS * vector.dim) * vector.dtype.itemsize


def _moved(policy: Policy, device: torch.device) -> Policy:
    """The policy, on a device."""
    if policy.device.type != "cpu" and policy.device != device:
        raise ValueError(f"the policy is on {policy.device}, the run on {device}: say device={str(policy.device)!r}")
    return policy.to(device)


def _check_compiler(on_tensors: bool, name: str, device: torch.device) -> None:
    """Refuse to compile what cannot be, or without a compiler."""
    if not on_tensors:
        raise ValueError(f"compile=True is for environments on tensors, which {name} is not (see backend)")
    if device.type != "cpu" and not find_spec("triton"):
        raise ValueError(f"compile=True on {device.type} needs the package triton, which is not installed")
    if not any(compiler and shutil.which(compiler) for compiler in COMPILERS):
        raise ValueError("compile=True needs a C++ compiler, g++ or clang++, and there is none")


def _parse_target(target: float | str | None, auto: float | None) -> float | None:
    if target == "auto":
        return auto
    if target is None or target == "none":
        return None
    try:
        number = nan if isinstance(target, bool) else float(target)
    except (TypeError, ValueError, OverflowError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"target must be 'auto', 'none' or a number, got {target!r}")
    return number
