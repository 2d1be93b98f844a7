"""Export the policy of a run as a program that needs torch only."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import PolicyOptions, as_options, parse
from torchpolicy.output.export import export
from torchpolicy.runs.trained import load


@as_options
class ExportOptions(PolicyOptions):
    """Export the policy of a run as a program that needs torch only and acts greedily on batches of observations.

    In Python, act = torch.export.load("policy.pt2").module() is a function that turns observations into actions.

    For example: torchpolicy export runs/CartPole-v1/cem-s0-20261122-101420 -o cartpole.pt2
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder, or a folder that the callback KeepPolicies wrote, such as RUN/kept/generation-100."""
    env: str | None = None
    """Ignored. Earlier versions needed it; now the spaces of observations and actions are saved with the weights."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("policy.pt2")
    """The file to write. Its name must end in .pt2."""


def run(arguments: list[str]) -> None:
    """``torchpolicy export RUN …``."""
    options = parse(ExportOptions, "torchpolicy export", arguments)
    print(export(load(options.run, options.own_policy()), options.out))
