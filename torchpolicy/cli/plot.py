"""Draw learning curves of runs, their seeds summed up."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.cli.base import as_options, parse
from torchpolicy.output.plots import plot


@as_options
class PlotOptions:
    """Draw learning curves: a row an environment, a colour a configuration, the interquartile mean over its seeds.

    For example: torchpolicy plot runs/CartPole-v1 runs/Acrobot-v1 -o curves.png
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")] = (Path("runs"),)
    """Run folders, or folders that hold some: all below it, such as runs/CartPole-v1."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs.png")
    """The picture; its ending says what kind: png, pdf, svg."""
    metric: str | None = None
    """Metric to draw, a key of metrics.jsonl such as search/signal. The held-out return if not set."""


def run(arguments: list[str]) -> None:
    """``torchpolicy plot RUNS …``."""
    options = parse(PlotOptions, "torchpolicy plot", arguments)
    print(plot(options.runs, options.out, options.metric))
