"""Compare the test scores of runs, over their seeds and with intervals."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import as_options, parse
from torchpolicy.output.comparison import compare


@as_options
class CompareOptions:
    """Compare runs by the test scores of their final policies, in groups that differ in nothing except the seed.

    Each environment has a table with a line for each configuration, the best first. IQM is the interquartile mean of
    the scores over the seeds, and beside it is its 95 % interval. Then follow the worst score with its seed, the number
    of seeds at the threshold, and the median of the environment steps and seconds that a run has trained. The
    probability of improvement says how likely a run of one configuration scores higher than a run of another
    (Agarwal et al. 2021). If its interval contains 0.50, the seeds do not tell which one is better.

    For example: torchpolicy compare runs/CartPole-v1
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")] = (Path("runs"),)
    """Run folders, or folders that contain run folders at any depth, such as runs/CartPole-v1."""
    threshold: float | None = None
    """Score that counts as solved. If not set, it is the target of the runs, or where they had none the threshold of
    Gymnasium's environment."""


def run(arguments: list[str]) -> None:
    """``torchpolicy compare RUNS …``."""
    options = parse(CompareOptions, "torchpolicy compare", arguments)
    print(compare(options.runs, options.threshold))
