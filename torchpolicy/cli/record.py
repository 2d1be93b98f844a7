"""Draw an episode of a run's policy into a GIF or a film."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import RunOptions, as_options, parse
from torchpolicy.output.film import record


@as_options
class RecordOptions(RunOptions):
    """Draw the first of the episodes that torchpolicy eval scores.

    An environment of your own has to take render_mode.

    For example: torchpolicy record runs/LunarLander-v3/xnes-s0-20261122-101420 -o landing.gif
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("episode.gif")
    """The picture: .gif, at most 100 frames, or .mp4, all of them, with the extra "video"."""


def run(arguments: list[str]) -> None:
    """``torchpolicy record RUN …``."""
    options = parse(RecordOptions, "torchpolicy record", arguments)
    policy, environment = options.load()
    del environment["backend"], environment["noise_rank"]
    print(record(policy, path=options.out, seed=options.seed, **environment))
