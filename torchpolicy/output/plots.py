"""Learning curves of runs, over environment steps and over seconds."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from torchpolicy.base.checks import check_choice, suggestion
from torchpolicy.base.types import Array
from torchpolicy.output.collection import Run, find_runs, group_runs
from torchpolicy.output.summary import ENOUGH, iqm, iqm_interval
from torchpolicy.output.writers.jsonl import STEPS

DEFAULT = "eval/mean_reward"
"""The metric that is drawn if none is asked for."""

LABELS = {
    DEFAULT: "held-out return",
    "search/center_score": "return of the center in training",
    "rollout/ep_rew_mean": "mean return in training",
}
"""Metrics in words. If a run lacks the default metric, the first of these is drawn that has two points in every run."""

AXES = {
    "steps": (STEPS, "environment steps"),
    "seconds": ("time/elapsed", "seconds"),
    "generations": ("generation", "generations"),
}
"""Choices for the x-axis: the metric, and the words for it."""

LETTERS = 40
"""Letters in a line beside an axis."""

POINTS, RESAMPLES = 200, 300
"""Points of a curve, and bootstrap resamples for the interval at each point."""


def plot(
    runs: str | Path | Iterable[str | Path],
    path: str | Path = "runs.png",
    metric: str | None = None,
    *,
    x: str | None = None,
    title: str | None = None,
    labels: Sequence[str] = (),
) -> Path:
    """Draw learning curves, with one row for each environment and one colour for each configuration.

    A line is the interquartile mean over the seeds. Its band is the 95 % bootstrap interval, or with fewer than five
    seeds, for which that says too little, it reaches from the lowest seed to the highest. A run that ended
    before the others stays at its last score. The axis is labelled with the metric, and a line on standard error
    names it, too.

    Args:
        runs: Run folders, or folders that contain run folders at any depth.
        path: The picture to write. The ending of its name determines the format, such as png, pdf or svg.
        metric: The metric to draw, a key of ``metrics.jsonl``. None means the held-out return, ``eval/mean_reward``. If
            a run has fewer than two of these, a return in training is drawn instead, and the line on standard error
            says why.
        x: What the x-axis counts: ``steps``, ``seconds`` or ``generations``. None draws a panel for steps and one for
            seconds.
        title: Title of the picture. None means the name of the environment above each row.
        labels: Names for the configurations, in the order of their labels. None are needed.

    Returns:
        The picture's path.

    Raises:
        ValueError: If there is nothing to draw, a run lacks the `metric`, there are more or fewer `labels` than
            configurations, or matplotlib is missing.
    """
    axes = ("steps", "seconds") if x is None else (x,)
    check_choice("x", axes[0], list(AXES))
    mpl, figure_of = matplotlib()
    found = find_runs(runs)
    envs = sorted({run.config["env"] for run in found})
    groups_of = {env: group_runs([run for run in found if run.config["env"] == env]) for env in envs}
    names = _names(groups_of.values(), labels)
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = figure_of(figsize=(9 if x is None else 6, 3.4 * len(envs)), layout="constrained")
        panels = figure.subplots(len(envs), len(axes), squeeze=False, sharey="row")
        if title is not None:
            figure.suptitle(title)
        for env, row in zip(envs, panels, strict=True):
            groups = groups_of[env]
            score, why = _chosen([run for group in groups.values() for run in group], metric)
            print(f"drawn for {env}: {_label(score)}{why}", file=sys.stderr)
            for panel, (axis, words) in zip(row, map(AXES.__getitem__, axes), strict=True):
                for number, (label, group) in enumerate(groups.items()):
                    seeds = f" ({len(group)} seeds)" if len(group) > 1 else ""
                    _draw(panel, [run.curve(axis, score) for run in group], f"{names[label]}{seeds}", f"C{number}")
                panel.set_xlabel(words)
                panel.xaxis.set_major_formatter(tick_label)
            row[0].set_ylabel(fill(_label(score), LETTERS))
            if title is None or len(envs) > 1:
                row[0].set_title(env, loc="left")
            row[0].legend(frameon=False)
        figure.savefig(path, dpi=150)
    return Path(path)


def tick_label(number: float, _: int) -> str:
    """A number beside an axis, such as 0.5, 200k or 1.5M."""
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= factor:
            return f"{number / factor:g}{letter}"
    return f"{number:g}"


def matplotlib() -> tuple[Any, Any]:
    """The library, which is imported where it is needed, and its class of figures.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError('drawing needs matplotlib: pip install "torchpolicy[plots]"') from error
    return mpl, Figure


def _names(groups: Iterable[Mapping[str, list[Run]]], given: Sequence[str]) -> dict[str, str]:
    """The names of configurations in the legend, by their labels."""
    known = sorted({label for each in groups for label in each})
    if given and len(given) != len(known):
        raise ValueError(f"labels must name {len(known)} configurations, {', '.join(known)}, got {len(given)}")
    return dict(zip(known, given or known, strict=True))


def _chosen(runs: Sequence[Run], metric: str | None) -> tuple[str, str]:
    """The metric to draw for all these runs, and the reason if it is not the default though none was asked for."""
    for run in runs:
        if metric is not None and not len(run.curve(STEPS, metric)[0]):
            known = sorted({key for row in run.rows for key, value in row.items() if value is not None})
            others = ", ".join(key for key in known if not key.startswith(("time/", "std/")))
            raise ValueError(f"{run.folder} has no metric {metric!r}{suggestion(metric, known)}; it has {others}")
    if metric is not None:
        return metric, ""
    few = {key: [run for run in runs if len(run.curve(STEPS, key)[0]) < 2] for key in LABELS}
    chosen = next((key for key in LABELS if not few[key]), "rollout/ep_rew_mean")
    if chosen == DEFAULT:
        return DEFAULT, ""
    count = len(few[DEFAULT][0].curve(STEPS, DEFAULT)[0])
    return chosen, (
        f", because {few[DEFAULT][0].folder} has {count or 'no'} held-out evaluation{'' if count == 1 else 's'}, and a "
        "curve needs two (choose another metric with --metric, or metric=)"
    )


def _label(metric: str) -> str:
    """A metric in words, and its key."""
    return f"{LABELS[metric]} ({metric})" if metric in LABELS else metric


def _draw(panel: Any, curves: list[tuple[Array, Array]], label: str, color: str) -> None:
    curves = [(x, y) for x, y in curves if len(x)]
    if not curves:
        return
    grid = np.linspace(max(x[0] for x, _ in curves), max(x[-1] for x, _ in curves), POINTS)
    values = np.stack([np.interp(grid, x, y) for x, y in curves], -1)  # (POINTS, seeds)
    panel.plot(grid, iqm(values), color=color, label=label, marker="o" if grid[0] == grid[-1] else None)
    if len(curves) > 1:
        ends = (values.min(-1), values.max(-1)) if len(curves) < ENOUGH else iqm_interval(values, RESAMPLES)
        panel.fill_between(grid, *ends, color=color, alpha=0.2, linewidth=0)
