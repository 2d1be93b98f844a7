"""Searches and learners by name, and their hyperparameters."""

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from math import inf, isfinite
from typing import Any

import docstring_parser
import torch

from torchpolicy.base.checks import check_range, suggestion
from torchpolicy.base.discovery import entry, names
from torchpolicy.learn.base import Learner
from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Search
from torchpolicy.search.restarts import Restarts
from torchpolicy.vectors.params import ParamVector

RUN_ARGUMENTS = ("center", "policy", "slices", "seed", "maximize", "bounds")
"""Arguments of an algorithm that a run sets itself, or that weights do not need; the others are its hyperparameters."""

STD_SCALE = inspect.Parameter("std_scale", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=float | None)
"""A hyperparameter that a run adds to every algorithm with a std: the first std in units of each layer's initial
scale. None stands for :func:`usual_scale`."""

DOUBLINGS = 4
"""How often restarts double the population of a run."""

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
"""Arguments that people know from other libraries, each with what there is here instead."""


def algorithm_names() -> list[str]:
    """Names of all algorithms, the searches before the learners."""
    return names("search") + names("learn")


def algorithm_class(name: str) -> type[Algorithm]:
    """The search or learner called `name`.

    Raises:
        ValueError: If there is none.
    """
    known = algorithm_names()
    if name not in known:
        raise ValueError(f"unknown algorithm {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    if name in names("search"):
        return entry("search", name, Search)
    return entry("learn", name, Learner)


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


def descriptions_of(algorithm: type[Algorithm]) -> dict[str, str]:
    """What each argument of an algorithm's constructor means, by its name.

    Texts come from the docstrings of the class and of the classes that it extends: an argument that several algorithms
    share is described once, and where one describes it anew, that counts.
    """
    found: dict[str, str] = {}
    for each in reversed(algorithm.__mro__):
        for field in docstring_parser.parse(each.__doc__ or "").params:
            if field.args[0] == "param":  # and not an attribute
                found[field.arg_name] = " ".join((field.description or "").split())
    return found


def check_hyperparameters(algorithm: type[Algorithm], given: Iterable[str]) -> None:
    """Refuse names that are no hyperparameters of an algorithm.

    Raises:
        ValueError: If there are any. The message says what may have been meant.
    """
    known = hyperparameters_of(algorithm)
    for name in given:
        if name not in known:
            meant = instead_of(name, algorithm) or suggestion(name, known)
            hyperparameters = f"its hyperparameters are {', '.join(known)}"
            raise ValueError(f"unknown argument {name!r} for {algorithm.__name__}{meant}; {hyperparameters}")


def instead_of(name: str, algorithm: type[Algorithm]) -> str:
    """What there is instead of an argument that an algorithm does not have, in words; empty where nothing is known."""
    known = hyperparameters_of(algorithm)
    if name in ("learning_rate", "lr"):
        return ": that is learning_rate" if "learning_rate" in known else f": {algorithm.__name__} has none"
    if name in HABITS:
        return f": {HABITS[name]}"
    others = [each for each in algorithm_names() if name in hyperparameters_of(algorithm_class(each))]
    more = " and others" if len(others) > 3 else ""
    return f": it belongs to {', '.join(others[:3])}{more}" if others else ""


def check_place(algorithm: str | Algorithm, device: torch.device) -> None:
    """Refuse a search or learner that was made on another device than the run's.

    Raises:
        ValueError: If it was. The message names both devices.
    """
    if not isinstance(algorithm, str) and algorithm.center.device != device:
        raise ValueError(
            f"the algorithm is on {algorithm.center.device}, the run on {device}: make it of a policy that is there"
        )


def make_algorithm(
    algorithm: str | Algorithm,
    hyperparameters: Mapping[str, Any],
    policy: Policy,
    seed: int,
    *,
    restarts: bool = False,
) -> Algorithm:
    """The algorithm that trains a policy.

    Args:
        algorithm: Its name, or the algorithm itself, which is only checked.
        hyperparameters: Its hyperparameters, for an algorithm that is named.
        policy: The policy. A search is over the weights of its net.
        seed: Seed of the algorithm's own random stream, for one that is named.
        restarts: Whether a search that is named begins again where it stalls.

    Raises:
        ValueError: If the algorithm does not fit the policy, or cannot be made.
    """
    if isinstance(algorithm, str):
        return _made(algorithm_class(algorithm), hyperparameters, policy, seed, restarts=restarts)
    if restarts:
        raise ValueError("restarts go with a search chosen by name: put yours into a torchpolicy.Restarts")
    if hyperparameters:
        raise ValueError(f"hyperparameters go with an algorithm chosen by name, got {', '.join(hyperparameters)}")
    if isinstance(algorithm, Learner):
        if algorithm.policy is not policy:
            raise ValueError("the learner improves another policy: leave policy= out, or give the learner's own")
        return algorithm
    dim = ParamVector(policy.net).dim
    if algorithm.dim != dim:
        raise ValueError(f"the search is over {algorithm.dim} numbers, the policy's net has {dim} to train")
    if algorithm.center.dtype != policy.dtype:
        raise ValueError(
            f"the search's center is {algorithm.center.dtype}, the policy's weights are {policy.dtype}: begin with "
            "center=ParamVector(policy.net).read()"
        )
    if not algorithm.maximize:
        raise ValueError("the search minimises, returns are to be maximised: make it with maximize=True")
    return algorithm


def _made(
    algorithm: type[Algorithm], hyperparameters: Mapping[str, Any], policy: Policy, seed: int, *, restarts: bool
) -> Algorithm:
    """A new algorithm for a policy."""
    for name, value in hyperparameters.items():
        if isinstance(value, float) and isfinite(value) and abs(value) > torch.finfo(policy.dtype).max:
            raise ValueError(f"{name} is {value}, beyond the largest number of {policy.dtype}")
    if issubclass(algorithm, Learner):
        return algorithm(policy, seed=seed, **hyperparameters)
    vector = ParamVector(policy.net)
    settings = _with_std(algorithm, hyperparameters, vector)
    if "slices" in inspect.signature(algorithm).parameters:
        settings["slices"] = vector.slices
    if restarts:
        return Restarts(partial(_again, algorithm, settings), vector.read(), doublings=DOUBLINGS, seed=seed)
    return algorithm(vector.read(), seed=seed, **settings)


def _again(algorithm: type[Search], settings: dict[str, Any], **changed: Any) -> Search:
    """A search of that kind, with other settings where they have changed."""
    return algorithm(**settings | changed)


def usual_scale(vector: ParamVector) -> float:
    """The first std of a run in units of each layer's initial scale, which is the half-width b of U(-b, b).

    1 for a policy of one layer; 1/sqrt(3), which is the standard deviation of U(-b, b), for a network with hidden
    layers (``experiments/defaults.py`` is the study).
    """
    layers = sum(len(shape) > 1 for shape in vector.shapes.values())
    return 1.0 if layers < 2 else 3**-0.5


def _with_std(algorithm: type[Algorithm], given: Mapping[str, Any], vector: ParamVector) -> dict[str, Any]:
    """Hyperparameters with a std, where the algorithm has one and none is given: each layer's initial scale, scaled."""
    settings = dict(given)
    scale = settings.pop(STD_SCALE.name, None)
    if "std" in hyperparameters_of(algorithm) and settings.get("std") is None:
        scale = usual_scale(vector) if scale is None else scale
        check_range(STD_SCALE.name, scale, 0, inf, open_low=True)
        settings["std"] = vector.initial_scale() * scale
    elif scale not in (None, 1.0):  # 1.0 was the default, and stands in the configurations of older runs
        raise ValueError("std_scale is of each layer's initial scale: leave std out, or std_scale")
    return settings
