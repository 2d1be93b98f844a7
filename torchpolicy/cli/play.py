"""Show an episode of a run's policy in a window."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import parse, parse_pairs
from torchpolicy.film import play
from torchpolicy.trained import load_run


@dataclass(kw_only=True)
class PlayOptions:
    """Show the first of the episodes that ``torchpolicy eval`` scores, and tell its return."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    seed: int = 1
    """Of the episode."""
    env: str | None = None
    """pkg.mod:callable that takes render_mode, for a run in an environment of your own."""
    env_args: tuple[str, ...] | None = None
    """Keywords for the environment, as name=value, in place of the run's."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""


def run(arguments: list[str]) -> None:
    """``torchpolicy play RUN …``."""
    options = parse(PlayOptions, "torchpolicy play", arguments)
    env_args = None if options.env_args is None else parse_pairs("--env-args", options.env_args)
    policy, environment = load_run(options.run, env=options.env, env_args=env_args, policy=options.policy)
    del environment["backend"]
    print(f"return {play(policy, seed=options.seed, **environment):.4g}")
