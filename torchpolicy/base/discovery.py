"""Choices by name. A file in a package is an entry; nothing is registered by hand."""

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

NO_ENTRIES = ("base", "gaussian", "make")
"""Files that hold what the entries of a package have in common, and what chooses among them."""


@cache
def names(package: str) -> list[str]:
    """Entries of ``torchpolicy.<package>``: its files, without :data:`NO_ENTRIES` and folders."""
    module = importlib.import_module(f"torchpolicy.{package}")
    found = pkgutil.iter_modules(module.__path__)
    return sorted(each.name for each in found if not each.ispkg and each.name not in NO_ENTRIES)


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
