"""Show an episode of a run's policy in a window."""

from dataclasses import dataclass

from torchpolicy.cli.base import RunOptions, parse
from torchpolicy.film import play


@dataclass(kw_only=True)
class PlayOptions(RunOptions):
    """Show the first of the episodes that ``torchpolicy eval`` scores, and tell its return.

    An environment of your own has to take render_mode.
    """


def run(arguments: list[str]) -> None:
    """``torchpolicy play RUN …``."""
    options = parse(PlayOptions, "torchpolicy play", arguments)
    policy, environment = options.load()
    del environment["backend"]
    print(f"return {play(policy, seed=options.seed, **environment):.4g}")
