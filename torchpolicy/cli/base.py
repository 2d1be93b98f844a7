"""From words on the command line to options."""

import ast
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from torchpolicy.api import Result
from torchpolicy.policies.base import Policy
from torchpolicy.trained import load_run

Options = TypeVar("Options")


def parse(options: type[Options], prog: str, arguments: Sequence[str]) -> Options:
    """Read an options class off the command line; exits with 2 after a mistake, with 0 after ``--help``."""
    return tyro.cli(
        options,
        prog=prog,
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
    )


@dataclass(kw_only=True)
class RunOptions:
    """A run, and code of the user's own that it needs."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    seed: int = 1
    """Of the episodes."""
    env: str | None = None
    """pkg.mod:callable, for a run in an environment of your own. Another Gymnasium id is welcome too."""
    env_args: tuple[str, ...] | None = None
    """Keywords for the environment, as name=value, in place of the run's."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""

    def load(self) -> tuple[Policy, dict[str, Any]]:
        """The run's policy, and the keywords that make its environment."""
        env_args = None if self.env_args is None else parse_pairs("--env-args", self.env_args)
        return load_run(self.run, env=self.env, env_args=env_args, policy=self.policy)


def print_result(result: Result) -> None:
    """Where the run is, what it reached, and what to type next; once, by the first process."""
    if os.environ.get("RANK", "0") != "0":
        return
    folder = shlex.quote(str(result.run_dir))
    print(f"run    {result.run_dir}")
    print(f"test   {result.evaluation}")
    print(f"next   torchpolicy eval {folder} --episodes 100 --seed 1")
    print(f"       tensorboard --logdir {folder}", flush=True)


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """``name=value`` words as a dictionary; a value is a Python literal, or else a string."""
    parsed = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"{option} takes name=value, got {pair!r}")
        try:
            parsed[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            parsed[name] = value
    return parsed
