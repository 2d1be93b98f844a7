"""Finding the entries of a package, such as its searches, by the names of its files; nothing is registered by hand."""

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

NO_ENTRIES = ("actor", "ask", "base", "elites", "gaussian", "lesson", "make", "restarts")
"""Files that are no entries: ``base`` and ``gaussian`` hold what entries share, ``elites`` and ``lesson`` are what
learners learn from, ``make`` chooses among entries, and ``actor``, ``ask`` and ``restarts`` are wrapped around
something else."""


@cache
def names(package: str) -> list[str]:
    """The sorted names of the entries of ``torchpolicy.<package>``: its files except :data:`NO_ENTRIES`, no folders."""
    module = importlib.import_module(f"torchpolicy.{package}")
    found = pkgutil.iter_modules(module.__path__)
    return sorted(each.name for each in found if not each.ispkg and each.name not in NO_ENTRIES)


def entry(package: str, name: str, base: type[T]) -> type[T]:
    """The class that an entry's file defines.

    Raises:
        TypeError: If the file does not define exactly one subclass of `base`.
    """
    module: Any = importlib.import_module(f"torchpolicy.{package}.{name}")
    found = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} should define one {base.__name__}, found {len(found)}")
    return found[0]
