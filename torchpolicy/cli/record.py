"""Record an episode of a run's policy as a GIF or an MP4 film."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import RunOptions, as_options, parse
from torchpolicy.output.film import record


@as_options
class RecordOptions(RunOptions):
    """Record an episode of a run's policy as a GIF or an MP4 film.

    It is the first episode that torchpolicy eval scores with the same seed. If the environment is your own, its
    callable must take the keyword argument render_mode.

    For example: torchpolicy record runs/LunarLander-v3/xnes-s0-20261122-101420 -o landing.gif
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("episode.gif")
    """The file to write. A .gif has at most 150 frames, and shows as much of the episode as fits; an .mp4 shows all of
    it, and needs the extra "video"."""


def run(arguments: list[str]) -> None:
    """``torchpolicy record RUN …``."""
    options = parse(RecordOptions, "torchpolicy record", arguments)
    policy, environment = options.load()
    del environment["backend"], environment["noise_rank"]
    print(record(policy, path=options.out, seed=options.seed, **environment))
