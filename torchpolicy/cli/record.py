"""Draw an episode of a run's policy into a GIF or a film."""

from dataclasses import dataclass
from pathlib import Path

from torchpolicy.cli.base import RunOptions, parse
from torchpolicy.film import record


@dataclass(kw_only=True)
class RecordOptions(RunOptions):
    """Draw the first of the episodes that ``torchpolicy eval`` scores.

    An environment of your own has to take render_mode.
    """

    out: Path = Path("episode.gif")
    """The picture: .gif, at most 100 frames, or .mp4, all of them, with the extra "video"."""


def run(arguments: list[str]) -> None:
    """``torchpolicy record RUN …``."""
    options = parse(RecordOptions, "torchpolicy record", arguments)
    policy, environment = options.load()
    del environment["backend"]
    print(record(policy, path=options.out, seed=options.seed, **environment))
