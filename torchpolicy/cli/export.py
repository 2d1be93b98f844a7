"""Write the policy of a run as a program of torch.export."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import as_options, parse
from torchpolicy.output.export import export
from torchpolicy.runs.trained import load


@as_options
class ExportOptions:
    """Write the policy as a program that needs torch and nothing else, to act greedily on batches of observations.

    In Python, act = torch.export.load("policy.pt2").module() is a function from observations to actions.

    For example: torchpolicy export runs/CartPole-v1/cem-s0-20261122-101420 -o cartpole.pt2
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder, or one that the callback KeepPolicies keeps, RUN/kept/generation-100."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""
    env: str | None = None
    """No longer needed: the spaces of observations and actions are saved beside the weights."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("policy.pt2")
    """The program; its name ends in .pt2."""


def run(arguments: list[str]) -> None:
    """``torchpolicy export RUN …``."""
    options = parse(ExportOptions, "torchpolicy export", arguments)
    print(export(load(options.run, options.policy), options.out))
