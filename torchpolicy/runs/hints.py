"""The command to type next for a run; or the Python call, at a prompt of Python's or where code has no name."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from torchpolicy.runs.folder import name_of


def to_resume(run_dir: Path, code: Mapping[str, object]) -> str:
    """The command, or the call, that goes on with a run.

    Args:
        run_dir: The run's folder.
        code: The `env` and `policy` that the run was given; None for a policy that the run's files can make again.
    """
    options = _options(code)
    if options is not None and not in_python():
        return f"torchpolicy resume {shlex.quote(str(run_dir))}{options}"
    own = {name: f"{name}={_call(name, value)}" for name, value in code.items() if _is_own(name, value)}
    return f"tp.resume({', '.join([repr(str(run_dir)), *own.values()])})"


def to_evaluate(run_dir: Path, code: Mapping[str, object]) -> str:
    """The command, or the call, that scores the policy of a run; arguments are those of :func:`to_resume`."""
    options = _options(code)
    if options is not None:
        return f"torchpolicy eval {shlex.quote(str(run_dir))}{options} --episodes 100 --seed 1"
    own = [f"policy={_call('policy', code['policy'])}"] if _is_own("policy", code["policy"]) else []
    policy = f"tp.load({', '.join([repr(str(run_dir)), *own])})"
    return f"tp.evaluate({policy}, {_call('env', code['env'])}, episodes=100, seed=1)"


def in_python() -> bool:
    """True at a prompt of Python's: a notebook, IPython, or ``python`` by itself."""
    return hasattr(sys, "ps1")


def _options(code: Mapping[str, object]) -> str | None:
    """Options that name the user's own code; None where it has no name."""
    own = {name: shell_name(value) for name, value in code.items() if _is_own(name, value)}
    if None in own.values():
        return None
    return "".join(f" --{name} {value}" for name, value in own.items())


def shell_name(code: object) -> str | None:
    """The name by which a command finds a function or class; None where there is none, as for a closure."""
    if isinstance(code, str):
        return code
    module, _, name = name_of(code).partition(":")
    named = hasattr(code, "__qualname__") and name.isidentifier() and module != "__main__"
    return f"{module}:{name}" if named else None


def _is_own(name: str, value: object) -> bool:
    """True for code that has to be given again."""
    return value is not None and (name == "policy" or not isinstance(value, str) or ":" in value)


def _call(name: str, value: object) -> str:
    """An argument of a call in Python."""
    if isinstance(value, str):
        return repr(value)
    known = getattr(value, "__name__", "")
    return known if known.isidentifier() else {"env": "YourEnv", "policy": "YourModule()"}[name]
