"""The command to type next for a run; or the Python call, at a prompt of Python's or where code has no name."""

import shlex
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torchpolicy.runs.folder import name_of


def own_code(env: object, policy: object, policy_args: Mapping[str, Any]) -> dict[str, object]:
    """What a run was given of the user's own: `env` and `policy`, and `policy_args` if that is a function with some."""
    bound = policy if isinstance(policy, partial) and not policy.args else None
    if bound is not None:
        policy, policy_args = bound.func, bound.keywords
    own = {"env": env, "policy": policy}
    return own | {"policy_args": policy_args} if policy_args and policy is not None else own


def to_resume(run_dir: Path, code: Mapping[str, object]) -> str:
    """The command, or the call, that goes on with a run.

    Args:
        run_dir: The run's folder.
        code: What :func:`own_code` says; its policy is None where the run's files can make it again.
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
    args: Any = code.get("policy_args", {})
    pairs = [f"{name}={value if isinstance(value, str) else repr(value)}" for name, value in args.items()]
    words = [*(f" --{name} {value}" for name, value in own.items()), " --policy-args" if pairs else ""]
    return "".join([*words, *(f" {shlex.quote(pair)}" for pair in pairs)])


def shell_name(code: object) -> str | None:
    """The name by which a command finds a function or class; None where there is none, as for a closure."""
    if isinstance(code, str):
        return code
    module, _, name = name_of(code).partition(":")
    named = hasattr(code, "__qualname__") and name.isidentifier() and module != "__main__"
    return f"{module}:{name}" if named else None


def _is_own(name: str, value: object) -> bool:
    """True for code that has to be given again."""
    if value is None or name == "policy_args":
        return False
    return name == "policy" or not isinstance(value, str) or ":" in value


def _call(name: str, value: object) -> str:
    """An argument of a call in Python."""
    if isinstance(value, str):
        return repr(value)
    known = getattr(value, "__name__", "")
    return known if known.isidentifier() else {"env": "YourEnv", "policy": "YourModule()"}[name]
