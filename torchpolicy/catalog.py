"""Names of what can be chosen by name. A file in a package is an entry; nothing is registered by hand."""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Search
from torchpolicy.writers.base import Writer

T = TypeVar("T")

RUN_ARGUMENTS = ("center", "seed", "maximize")
"""Arguments of a search that a run sets itself; the others are its hyperparameters."""


@cache
def names(package: str) -> list[str]:
    """Entries of ``torchpolicy.<package>``: its files, but for ``base``."""
    module = importlib.import_module(f"torchpolicy.{package}")
    return sorted(found.name for found in pkgutil.iter_modules(module.__path__) if found.name != "base")


def algorithm_class(name: str) -> type[Search]:
    """The search called `name`."""
    return _find("search", "algorithm", name, Search)  # type: ignore[type-abstract]


def policy_class(name: str) -> Callable[..., Policy]:
    """The policy called `name`."""
    return _find("policies", "policy", name, Policy)


def make_writers(run_dir: Path) -> list[Writer]:
    """One of every writer, for a run's folder."""
    return [entry("writers", name, Writer)(run_dir) for name in names("writers")]  # type: ignore[type-abstract]


def hyperparameters_of(algorithm: type[Search]) -> dict[str, inspect.Parameter]:
    """Hyperparameters of an algorithm: the arguments of its constructor that a run leaves open."""
    parameters = inspect.signature(algorithm).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in RUN_ARGUMENTS}


def check_hyperparameters(algorithm: type[Search], given: Iterable[str]) -> None:
    """Refuse names that are no hyperparameters of an algorithm."""
    known = hyperparameters_of(algorithm)
    for name in given:
        if name not in known:
            raise ValueError(
                f"unknown argument {name!r} for {algorithm.__name__}{suggestion(name, known)}; "
                f"its hyperparameters are {', '.join(known)}"
            )


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _find(package: str, kind: str, name: str, base: type[T]) -> type[T]:
    known = names(package)
    if name not in known:
        raise ValueError(f"unknown {kind} {name!r}{suggestion(name, known)} (known: {', '.join(known)})")
    return entry(package, name, base)


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
