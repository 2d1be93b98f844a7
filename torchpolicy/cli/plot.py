"""Draw the learning curves of runs, averaged over their seeds."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from torchpolicy.cli.base import as_options, parse
from torchpolicy.output.plots import plot
from torchpolicy.output.returns import plot_returns


@as_options
class PlotOptions:
    """Draw learning curves, with one row for each environment and one colour for each configuration.

    A line is the interquartile mean over the seeds of a configuration, and its band is the 95 % interval.

    For example: torchpolicy plot runs/CartPole-v1 runs/Acrobot-v1 -o curves.png
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")] = (Path("runs"),)
    """Run folders, or folders that contain run folders at any depth, such as runs/CartPole-v1."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs.png")
    """The picture to write. The ending of its name determines the format: png, pdf or svg."""
    metric: str | None = None
    """Metric to draw, a key of metrics.jsonl such as search/signal. If not set, the held-out return is drawn."""
    kind: Literal["curves", "returns"] = "curves"
    """What to draw. curves: a metric over the run; returns: the spread of returns in training, a panel for each run."""


def run(arguments: list[str]) -> None:
    """``torchpolicy plot RUNS …``."""
    options = parse(PlotOptions, "torchpolicy plot", arguments)
    if options.kind == "returns":
        if options.metric is not None:
            raise ValueError("--metric is for --kind curves")
        print(plot_returns(options.runs, options.out))
    else:
        print(plot(options.runs, options.out, options.metric))
