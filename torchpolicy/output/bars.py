"""The final test scores of runs as bars, one for each configuration, with intervals."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np

from torchpolicy.output.comparison import compare
from torchpolicy.output.plots import matplotlib

WIDE, HIGH, LINE = 6.0, 0.45, 0.22
"""Inches of one environment's panel, of one bar, and of a line of its name."""

LETTERS = 32
"""Letters of a configuration's name in one line."""


def plot_bars(
    runs: str | Path | Iterable[str | Path],
    path: str | Path = "bars.png",
    *,
    title: str | None = None,
    labels: Sequence[str] = (),
) -> Path:
    """Draw the final test scores of runs as bars: a panel for each environment, and in it a bar for each configuration.

    A bar is the interquartile mean over the seeds, the line on it is the 95 % bootstrap interval (from five seeds on),
    and each dot is a run. A dashed line is the score that counts as solved, where one is known.

    Args:
        runs: Run folders, or folders that contain run folders at any depth.
        path: The picture to write. The ending of its name determines the format, such as png, pdf or svg.
        title: Title of the picture. None means the name of the environment above each panel alone.
        labels: Names for the configurations, in the order of their labels. None are needed.

    Returns:
        The picture's path.

    Raises:
        ValueError: If a run is not finished, there are more or fewer `labels` than configurations, or matplotlib is
            missing.
    """
    mpl, figure_of = matplotlib()
    rows = compare(runs).rows
    known = sorted({row.label for row in rows})
    if labels and len(labels) != len(known):
        raise ValueError(f"labels must name {len(known)} configurations, {', '.join(known)}, got {len(labels)}")
    names = {label: fill(name, LETTERS) for label, name in zip(known, labels or known, strict=True)}
    lines = 1 + max(name.count("\n") for name in names.values())
    envs = sorted({row.env for row in rows})
    counts = [sum(row.env == env for row in rows) for env in envs]
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = figure_of(
            figsize=(WIDE, sum(1.2 + max(HIGH, LINE * lines) * count for count in counts)), layout="constrained"
        )
        panels = figure.subplots(len(envs), 1, squeeze=False, height_ratios=[2 + count for count in counts])[:, 0]
        if title is not None:
            figure.suptitle(title)
        for env, panel in zip(envs, panels, strict=True):
            own = [row for row in rows if row.env == env]
            for place, row in enumerate(own):
                low, high = row.interval or (row.iqm, row.iqm)
                ends = [[max(0.0, row.iqm - low)], [max(0.0, high - row.iqm)]]
                panel.barh(place, row.iqm, xerr=ends, color=f"C{known.index(row.label)}", alpha=0.5, capsize=3)
                panel.plot(row.scores, np.full(len(row.scores), place), ".", color="black", markersize=4)
            if own[0].threshold is not None:
                panel.axvline(own[0].threshold, color="gray", linestyle="--", linewidth=0.8)
            panel.set_yticks(range(len(own)), [f"{names[row.label]} ({len(row.scores)})" for row in own])
            panel.invert_yaxis()
            panel.set_xlabel("test score; in brackets the number of seeds")
            if title is None or len(envs) > 1:
                panel.set_title(env, loc="left")
        figure.savefig(path, dpi=150)
    return Path(path)
