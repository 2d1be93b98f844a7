"""The user's code: it is imported by name, and whatever it raises becomes a failure with a place and a reason.

``sys.exit()`` raises SystemExit, which ``except Exception`` does not catch: called by an environment, it would end a
run silently with exit code 0. So everything is caught, except Ctrl-C and our own :class:`Stopped`.
"""

import errno
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import Repr
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import torch

from torchpolicy.base.errors import CodeError
from torchpolicy.base.signals import Stopped, Terminated

if sys.platform != "win32":  # imported early: where it is used, no more files can be opened
    from resource import RLIMIT_NOFILE, getrlimit

STOPS = (KeyboardInterrupt, Stopped)
"""Exceptions that end a run and pass through all handlers: ``except STOPS: raise``, then ``except BaseException``."""

ASKED_FOR = re.compile(r"tried to allocate (\d+) bytes|(?:Tried|Unable) to allocate ([\d.]*\d)\.? (\w+)")
"""The words in which torch on the CPU, torch on a GPU and NumPy say how much memory was lacking."""

_short = Repr()
_short.maxother = _short.maxstring = 80

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def blaming(place: str) -> Iterator[None]:
    """Turn any exception in the block, SystemExit included, into one line that begins with `place`.

    Raises:
        CodeError: If the block raises anything except :data:`STOPS`.
    """
    try:
        yield
    except STOPS:
        raise
    except BaseException as error:
        raise CodeError(f"{place}: {in_a_line(error)}") from error


def blaming_calls(function: Callable[P, T], place: str) -> Callable[P, T]:
    """The function with every call inside :func:`blaming`. Errors of memory pass, as they are not its fault."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except STOPS:
            raise
        except BaseException as error:
            if memory_needed(error) is not None:
                raise
            raise CodeError(f"{place}: {in_a_line(error)}") from error

    return call


def import_name(path: str) -> Any:
    """The object that ``"pkg.mod:name"`` names. Modules in the working directory are found as well.

    A module from the working directory leaves that directory on ``sys.path`` for the rest of the process, because its
    functions may import their neighbours when they are called. In every other case ``sys.path`` stays as it was.

    Raises:
        ValueError: If there is no such module, it cannot be imported, or has nothing of that name.
    """
    module_name, _, name = path.partition(":")
    here, before = Path.cwd(), list(sys.path)
    if str(here) not in sys.path:
        sys.path.append(str(here))
    module = None
    try:
        with blaming(f"{path!r}: cannot import {module_name!r}"):
            module = importlib.import_module(module_name)
    finally:
        if str(here) in sys.path and str(here) not in before and not _lies_in(here, module):
            sys.path.remove(str(here))
    try:
        return getattr(module, name)
    except AttributeError:
        raise ValueError(f"{path!r}: {module_name!r} has no {name!r}") from None


def _lies_in(folder: Path, module: ModuleType | None) -> bool:
    """Whether a module's file, or a part of its package, is in a folder."""
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(Path(place).is_relative_to(folder) for place in places if place)


@contextmanager
def no_exit() -> Iterator[None]:
    """Around everything that calls code of the user's own: wherever that is called, it ends no process.

    Raises:
        CodeError: Instead of SystemExit and everything else that ``except Exception`` lets through, except
            :data:`STOPS`.
    """
    try:
        yield
    except (Exception, Terminated, *STOPS):
        raise
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise CodeError(f"{at.name}, line {at.lineno} of {at.filename}, failed: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """An exception in one line, its type and the first line of its message: ``ValueError: no such thing``."""
    if isinstance(error, torch.OutOfMemoryError):
        return ". ".join(_words(error).split(". ")[:2])
    if (needed := memory_needed(error)) is not None:
        return f"not enough memory: {needed}"
    lines = _words(error).strip().splitlines()
    if isinstance(error, SystemExit):
        lines = [f"{error.code} (sys.exit was called)"]
    if lines and _lacks_files(error) and sys.platform != "win32":
        lines[0] += f" (a process may have {getrlimit(RLIMIT_NOFILE)[0]:,}: raise that with ulimit -n)"
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def memory_needed(error: BaseException) -> str | None:
    """How much memory was lacking, in words; None if the error has another reason."""
    if not isinstance(error, MemoryError | RuntimeError):
        return None
    words = _words(error)
    here = isinstance(error, MemoryError | torch.OutOfMemoryError)
    if not here and "DefaultCPUAllocator" not in words:
        return None
    found = ASKED_FOR.search(words)
    if found is None:
        return "more was needed than there is"
    amount = f"{int(found[1]) / 2**30:,.1f} GiB" if found[1] else f"{found[2]} {found[3]}"
    return f"{amount} more were needed"


def is_exhausted(error: BaseException) -> bool:
    """Whether the machine ran out of memory or of open files, which is not the fault of an episode."""
    return _lacks_files(error) or memory_needed(error) is not None


def _lacks_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def shortly(value: object) -> str:
    """A value in a few characters and one line."""
    return " ".join(_short.repr(value).split())


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except STOPS:
        raise
    except BaseException as worse:
        return f"({type(worse).__name__} while its message was read)"
