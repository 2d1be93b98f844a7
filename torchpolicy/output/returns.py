"""The returns of each generation of a run, from the lowest to the highest, and the threshold of the elite."""

from pathlib import Path
from typing import Any

from torchpolicy.base.types import Array
from torchpolicy.output.collection import Run, find_runs
from torchpolicy.output.plots import matplotlib, tick_label
from torchpolicy.output.writers.jsonl import STEPS

BANDS = {
    "lowest to highest": ("rollout/ep_rew_min", "rollout/ep_rew_max", 0.12),
    "middle half": ("rollout/ep_rew_p25", "rollout/ep_rew_p75", 0.3),
}
"""Bands between two metrics, and how dark each is."""

LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "median": ("rollout/ep_rew_p50", {"color": "C0"}),
    "threshold of the elite": ("learn/threshold", {"color": "C3", "linestyle": "--"}),
    "held-out return": ("eval/mean_reward", {"color": "black", "marker": ".", "linewidth": 0.8}),
}
"""Lines of one metric each, and how they are drawn; one that a run lacks is left out."""

WIDE, HIGH = 6.0, 3.4
"""Inches of one run's panel."""


def plot_returns(runs: Any, path: str | Path = "returns.png") -> Path:
    """Draw the returns of the episodes in training over environment steps, one panel for each run.

    Dark is the middle half of a generation's returns, light is all of them. The dashed line is the lowest score in the
    elite of DeepCEM, where that is one of episodes.

    Args:
        runs: Run folders, or folders that contain run folders at any depth.
        path: The picture to write. The ending of its name determines the format, such as png, pdf or svg.

    Returns:
        The picture's path.

    Raises:
        ValueError: If a run was made before these metrics were kept, there is none, or matplotlib is missing.
    """
    mpl, figure_of = matplotlib()
    found = find_runs(runs)
    for run in found:
        if not len(run.curve(STEPS, "rollout/ep_rew_p25")[0]):
            raise ValueError(f"{run.folder} has no metric 'rollout/ep_rew_p25': an older version made it")
    with mpl.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = figure_of(figsize=(WIDE * min(2, len(found)), HIGH * -(-len(found) // 2)), layout="constrained")
        for number, run in enumerate(found):
            panel = figure.add_subplot(-(-len(found) // 2), min(2, len(found)), number + 1)
            _draw(panel, run)
            panel.set_xlabel("environment steps")
            panel.set_ylabel("return in training")
            panel.xaxis.set_major_formatter(tick_label)
        figure.savefig(path, dpi=150)
    return Path(path)


def _draw(panel: Any, run: Run) -> None:
    """One run's bands and lines."""
    for label, (low, high, alpha) in BANDS.items():
        x, bottom = run.curve(STEPS, low)
        top: Array = run.curve(STEPS, high)[1]
        panel.fill_between(x, bottom, top, color="C0", alpha=alpha, linewidth=0, label=label)
    for label, (metric, style) in LINES.items():
        x, y = run.curve(STEPS, metric)
        if len(x):
            panel.plot(x, y, label=label, **{"linewidth": 1.2} | style)
    panel.set_title(f"{run.config['algorithm']} on {run.config['env']}, {run.folder.name}", loc="left", fontsize=10)
    panel.legend(frameon=False, fontsize=8)
