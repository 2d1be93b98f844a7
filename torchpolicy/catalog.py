"""Names of what can be chosen by name. A file in a package is an entry; nothing is registered by hand."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from math import inf, isfinite
from typing import Any, TypeVar

import torch
from gymnasium import Space
from torch import nn

from torchpolicy.checks import check_range
from torchpolicy.foreign import STOPS, CodeError, in_a_line, memory_needed
from torchpolicy.imports import import_name
from torchpolicy.learn.base import Learner
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Search
from torchpolicy.writers.base import Writer

T = TypeVar("T")

PolicyFactory = Callable[[Space[Any], Space[Any]], Policy | nn.Module]

RUN_ARGUMENTS = ("center", "policy", "slices", "seed", "maximize")
"""Arguments of an algorithm that a run sets itself; the others are its hyperparameters."""

STD_SCALE = inspect.Parameter("std_scale", inspect.Parameter.KEYWORD_ONLY, default=1.0, annotation=float)
"""What a run gives every algorithm that has a std: the first one, in units of each layer's initial scale."""

Algorithm = Search | Learner

HABITS = {
    name: instead
    for names, instead in {
        "hidden hidden_sizes net_arch": 'the layers of a network are policy_args={"hidden": (64, 64)}',
        "activation activation_fn policy_kwargs": 'what a policy takes are policy_args, such as {"activation": "relu"}',
        "total_timesteps num_timesteps timesteps max_steps": "the budget of environment steps is total_steps",
        "num_generations n_generations iterations": "the budget of generations is generations",
        "n_envs num_envs": "environments are stepped side by side as they are needed, so leave it out",
        "num_workers n_workers n_jobs num_processes": "the number of processes is workers",
        "env_id env_name environment": "the environment is the first argument, env",
        "env_kwargs": "keywords for the environment are env_args",
        "verbose progress_bar": "progress goes to standard error by itself, so leave it out",
        "tensorboard_log logdir save_path": "run folders, with TensorBoard's events, are made in log_dir",
        "popsize pop_size population_size": "the number of candidates is population",
        "sigma sigma0 init_std stdev": "the first standard deviation is std",
    }.items()
    for name in names.split()
}
"""Arguments that people know from other libraries, and what there is here instead."""


@cache
def names(package: str) -> list[str]:
    """Entries of ``torchpolicy.<package>``: its files, but for ``base``."""
    module = importlib.import_module(f"torchpolicy.{package}")
    return sorted(found.name for found in pkgutil.iter_modules(module.__path__) if found.name != "base")


def algorithm_names() -> list[str]:
    """Of the searches, then of the learners."""
    return names("search") + names("learn")


def algorithm_class(name: str) -> type[Algorithm]:
    """The search or learner called `name`."""
    known = algorithm_names()
    if name not in known:
        raise ValueError(f"unknown algorithm {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    if name in names("search"):
        return entry("search", name, Search)
    return entry("learn", name, Learner)


def policy_class(name: str) -> Callable[..., Policy]:
    """The policy called `name`."""
    known = names("policies")
    if name not in known:
        raise ValueError(f"unknown policy {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    return entry("policies", name, Policy)


def writer_classes() -> list[type[Writer]]:
    """Every writer there is."""
    return [entry("writers", name, Writer) for name in names("writers")]  # type: ignore[type-abstract]


def hyperparameters_of(algorithm: type[Algorithm]) -> dict[str, inspect.Parameter]:
    """Hyperparameters of an algorithm: the arguments of its constructor that a run leaves open, and `STD_SCALE`."""
    parameters = inspect.signature(algorithm).parameters
    found: dict[str, inspect.Parameter] = {}
    for name, parameter in parameters.items():
        if name not in RUN_ARGUMENTS:
            found[name] = parameter
        if name == "std":
            found[STD_SCALE.name] = STD_SCALE
    return found


def check_hyperparameters(algorithm: type[Algorithm], given: Iterable[str]) -> None:
    """Refuse names that are no hyperparameters of an algorithm."""
    known = hyperparameters_of(algorithm)
    for name in given:
        if name not in known:
            near = HABITS.get(name)
            if name in ("learning_rate", "lr"):
                near = "that is learning_rate" if "learning_rate" in known else f"{algorithm.__name__} has none"
            raise ValueError(
                f"unknown argument {name!r} for {algorithm.__name__}"
                f"{suggestion(name, known) if near is None else f': {near}'}; "
                f"its hyperparameters are {', '.join(known)}"
            )


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def entry(package: str, name: str, base: type[T]) -> type[T]:
    """The class that a file holds: the one subclass of `base` defined there."""
    module: Any = importlib.import_module(f"torchpolicy.{package}.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} should define one {base.__name__}, found {len(found)}")
    return found[0]


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
        if isinstance(error, ValueError) and isinstance(make, type) and make.__module__.startswith(f"{__package__}."):
            raise  # one of our own policies has said what is wrong
        advice = "" if memory_needed(error) else " (it is called with the observation space and the action space)"
        raise CodeError(f"making the policy {name} failed: {in_a_line(error)}{advice}") from error


def check_place(algorithm: str | Algorithm, device: torch.device) -> None:
    """Refuse a search or learner that was made elsewhere than where a run is."""
    if not isinstance(algorithm, str):
        place = algorithm.vector.device if isinstance(algorithm, Learner) else algorithm.center.device
        if place != device:
            raise ValueError(f"the algorithm is on {place}, the run on {device}: make it of a policy that is there")


def make_algorithm(
    algorithm: str | Algorithm, hyperparameters: Mapping[str, Any], policy: Policy, seed: int
) -> Algorithm:
    """The search over the weights of a policy's net, or the learner of it, that a name and hyperparameters stand for.

    An algorithm that is one already is only looked at.

    Raises:
        ValueError: If it does not fit the policy, or cannot be made.
    """
    if isinstance(algorithm, str):
        chosen = algorithm_class(algorithm)
        for name, value in hyperparameters.items():
            if isinstance(value, float) and isfinite(value) and abs(value) > torch.finfo(policy.dtype).max:
                raise ValueError(f"{name} is {value}, beyond the largest number of {policy.dtype}")
        if issubclass(chosen, Learner):
            return chosen(policy, seed=seed, **hyperparameters)
        vector = ParamVector(policy.net)
        hyperparameters = {**hyperparameters}
        scale = hyperparameters.pop(STD_SCALE.name, STD_SCALE.default)
        if "std" in hyperparameters_of(chosen) and hyperparameters.get("std") is None:
            check_range("std_scale", scale, 0, inf, open_low=True)
            hyperparameters["std"] = vector.initial_scale() * scale
        elif scale != STD_SCALE.default:
            raise ValueError("std_scale is of each layer's initial scale: leave std out, or std_scale")
        if hyperparameters.get("noise_rank") is not None:
            hyperparameters["slices"] = vector.slices
        return chosen(vector.read(), seed=seed, **hyperparameters)
    if hyperparameters:
        raise ValueError(f"hyperparameters go with an algorithm chosen by name, got {', '.join(hyperparameters)}")
    if isinstance(algorithm, Learner):
        if algorithm.policy is not policy:
            raise ValueError("the learner improves another policy: leave policy= out, or give the learner's own")
        return algorithm
    dim = ParamVector(policy.net).dim
    if algorithm.dim != dim:
        raise ValueError(f"the search is over {algorithm.dim} numbers, the policy's net has {dim} to train")
    if not algorithm.maximize:
        raise ValueError("the search minimises, returns are to be maximised: make it with maximize=True")
    return algorithm
