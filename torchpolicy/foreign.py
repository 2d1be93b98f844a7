"""Code that is not ours: whatever it raises is a failure with a place and a reason, and never the end of a process.

``sys.exit()`` raises SystemExit, which ``except Exception`` lets through: in an environment it would end a run with
exit code 0, and without a word. Only Ctrl-C and our own :class:`Stopped` may pass.
"""

import errno
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from reprlib import Repr
from resource import RLIMIT_NOFILE, getrlimit
from typing import ParamSpec, TypeVar

import torch

from torchpolicy.processes import Stopped, Terminated

STOPS = (KeyboardInterrupt, Stopped)
"""What ends a run, whoever is at work. Everywhere else: ``except STOPS: raise``, then ``except BaseException``."""

ASKED_FOR = re.compile(r"tried to allocate (\d+) bytes|(?:Tried|Unable) to allocate ([\d.]*\d)\.? (\w+)")
"""How torch on the CPU, torch on a GPU and NumPy say how much memory was not there."""

_short = Repr()
_short.maxother = _short.maxstring = 80

P = ParamSpec("P")
T = TypeVar("T")


class CodeError(ValueError):
    """Code of the user's own raised something, or gave what it should not."""


@contextmanager
def blaming(place: str) -> Iterator[None]:
    """Turn whatever code of the user's own raises, SystemExit included, into one line with its place.

    Raises:
        CodeError: In place of anything but a :data:`STOPS`.
    """
    try:
        yield
    except STOPS:
        raise
    except BaseException as error:
        raise CodeError(f"{place}: {in_a_line(error)}") from error


def blaming_calls(function: Callable[P, T], place: str) -> Callable[P, T]:
    """The function, each call of which is made :func:`blaming` a place. Running out of memory is not its fault."""

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


@contextmanager
def no_exit() -> Iterator[None]:
    """Around all that is ours: code of the user's own ends no process, wherever it is called.

    Raises:
        CodeError: In place of SystemExit and whatever else ``except Exception`` lets through, but for our own stops.
    """
    try:
        yield
    except (Exception, Terminated, *STOPS):
        raise
    except BaseException as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        raise CodeError(f"{at.name}, line {at.lineno} of {at.filename}, failed: {in_a_line(error)}") from error


def in_a_line(error: BaseException) -> str:
    """What was raised, and the first line of its words: ``ValueError: no such thing``."""
    if isinstance(error, torch.OutOfMemoryError):
        return ". ".join(_words(error).split(". ")[:2])
    if (needed := memory_needed(error)) is not None:
        return f"not enough memory: {needed}"
    lines = _words(error).strip().splitlines()
    if isinstance(error, SystemExit):
        lines = [f"{error.code} (sys.exit was called)"]
    if lines and _lacks_files(error):
        lines[0] += f" (a process may have {getrlimit(RLIMIT_NOFILE)[0]:,}: raise that with ulimit -n)"
    name = type(error).__name__
    return f"{name}: {lines[0]}" if lines else name


def memory_needed(error: BaseException) -> str | None:
    """How much memory was asked for when there was not enough; None for any other error."""
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
    """Whether the machine ran out of memory or of open files, which is no episode's own fault."""
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
