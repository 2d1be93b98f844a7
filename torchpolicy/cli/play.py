"""Show an episode of a run's policy in a window."""

from torchpolicy.cli.base import RunOptions, as_options, parse
from torchpolicy.output.film import play


@as_options
class PlayOptions(RunOptions):
    """Show an episode of a run's policy in a window, and print its return.

    It is the first episode that torchpolicy eval scores with the same seed. If the environment is your own, its
    callable must take the keyword argument render_mode.

    For example: torchpolicy play runs/LunarLander-v3/xnes-s0-20261122-101420 --seed 3
    """


def run(arguments: list[str]) -> None:
    """``torchpolicy play RUN …``."""
    options = parse(PlayOptions, "torchpolicy play", arguments)
    policy, environment = options.load()
    del environment["backend"], environment["noise_rank"]
    print(f"return {play(policy, seed=options.seed, **environment):.4g}")
