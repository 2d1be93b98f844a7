"""Draw learning curves of runs, their seeds summed up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import parse
from torchpolicy.plotting import plot


@dataclass(kw_only=True)
class PlotOptions:
    """Draw learning curves: a row an environment, a colour a configuration, the interquartile mean over its seeds."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (Path("runs"),)
    """Run folders, or folders that hold some: all below it, such as runs/CartPole-v1."""
    out: Path = Path("runs.png")
    """The picture; its ending says what kind: png, pdf, svg."""


def run(arguments: list[str]) -> None:
    """``torchpolicy plot RUNS …``."""
    options = parse(PlotOptions, "torchpolicy plot", arguments)
    print(plot(options.runs, options.out))
