"""Draw an episode of a run's policy into a GIF or a film."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import parse, parse_pairs
from torchpolicy.film import record
from torchpolicy.trained import load_run


@dataclass(kw_only=True)
class RecordOptions:
    """Draw the first of the episodes that ``torchpolicy eval`` scores."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    out: Path = Path("episode.gif")
    """The picture: .gif, at most 100 frames, or .mp4, all of them, with the extra "video"."""
    seed: int = 1
    """Of the episode."""
    env: str | None = None
    """pkg.mod:callable that takes render_mode, for a run in an environment of your own."""
    env_args: tuple[str, ...] | None = None
    """Keywords for the environment, as name=value, in place of the run's."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""


def run(arguments: list[str]) -> None:
    """``torchpolicy record RUN …``."""
    options = parse(RecordOptions, "torchpolicy record", arguments)
    env_args = None if options.env_args is None else parse_pairs("--env-args", options.env_args)
    policy, environment = load_run(options.run, env=options.env, env_args=env_args, policy=options.policy)
    del environment["backend"]
    print(record(policy, path=options.out, seed=options.seed, **environment))
