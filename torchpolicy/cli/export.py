"""Write the policy of a run as a program of torch.export."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import RunOptions, as_options, parse
from torchpolicy.exporting import export


@as_options
class ExportOptions(RunOptions):
    """Write the policy as a program that needs torch and nothing else, to act greedily on batches of observations.

    In Python, act = torch.export.load("policy.pt2").module() is a function from observations to actions.

    For example: torchpolicy export runs/CartPole-v1/cem-s0-20261122-101420 -o cartpole.pt2
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("policy.pt2")
    """The program; its name ends in .pt2."""


def run(arguments: list[str]) -> None:
    """``torchpolicy export RUN …``."""
    options = parse(ExportOptions, "torchpolicy export", arguments)
    policy, _ = options.load()
    print(export(policy, options.out))
