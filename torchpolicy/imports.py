"""The user's own code by name: ``pkg.mod:name``."""

import importlib
import sys
from pathlib import Path
from typing import Any


def import_name(path: str) -> Any:
    """What ``"pkg.mod:name"`` names; modules of the working directory are found too.

    Raises:
        ValueError: If there is no such module, or nothing of that name in it.
    """
    module_name, _, name = path.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{path!r}: cannot import {module_name!r}: {error}") from error
    finally:
        sys.path.pop(0)
    try:
        return getattr(module, name)
    except AttributeError:
        raise ValueError(f"{path!r}: {module_name!r} has no {name!r}") from None
