"""Draw the learning curves of runs, averaged over their seeds."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from torchpolicy.cli.base import as_options, parse
from torchpolicy.output.bars import plot_bars
from torchpolicy.output.plots import plot
from torchpolicy.output.returns import plot_returns
from torchpolicy.output.table import write_csv

TAKEN = {"curves": ("metric", "x", "title", "label"), "bars": ("title", "label"), "returns": ()}
"""The options that each kind of picture takes, beside the runs and the file."""


FILES = {"curves": "runs.png", "bars": "bars.png", "returns": "returns.png"}
"""The file of each kind of picture, unless another is named."""


@as_options
class PlotOptions:
    """Draw learning curves, with one row for each environment and one colour for each configuration.

    A line is the interquartile mean over the seeds of a configuration, and its band is the 95 % interval.

    For example: torchpolicy plot runs/CartPole-v1 runs/Acrobot-v1 -o curves.png
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUNS")] = (Path("runs"),)
    """Run folders, or folders that contain run folders at any depth, such as runs/CartPole-v1."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The picture to write: runs.png, bars.png or returns.png if it is not given. The ending of its name determines the
    format: png, pdf or svg. A .csv gets the numbers themselves: all metrics of all runs, in a row for each
    generation."""
    metric: str | None = None
    """Metric to draw, a key of metrics.jsonl such as search/signal. If not set, the held-out return is drawn."""
    x: Literal["steps", "seconds", "generations"] | None = None
    """What the x-axis counts. If not set, there is a panel for steps and one for seconds."""
    title: str | None = None
    """Title of the picture, instead of the name of the environment."""
    label: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Names of the configurations in the legend, in the order in which they stand there without this option."""
    kind: Literal["curves", "bars", "returns"] = "curves"
    """What to draw. curves: a metric over the run; bars: the final test scores of each configuration, with
    intervals over its seeds; returns: the spread of returns in training, a panel for each run."""


def run(arguments: list[str]) -> None:
    """``torchpolicy plot RUNS …``."""
    options = parse(PlotOptions, "torchpolicy plot", arguments)
    out = options.out or Path(FILES[options.kind])
    numbers = out.suffix == ".csv"
    for name in ("metric", "x", "title", "label"):
        if (numbers or name not in TAKEN[options.kind]) and getattr(options, name):
            kinds = " or ".join(kind for kind, names in TAKEN.items() if name in names)
            raise ValueError(f"--{name} is for {'pictures' if numbers else f'--kind {kinds}'}")
    if numbers:
        print(write_csv(options.runs, out))
    elif options.kind == "bars":
        print(plot_bars(options.runs, out, title=options.title, labels=options.label))
    elif options.kind == "returns":
        print(plot_returns(options.runs, out))
    else:
        axis, title, labels = options.x, options.title, options.label
        print(plot(options.runs, out, options.metric, x=axis, title=title, labels=labels))
