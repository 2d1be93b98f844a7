"""The test scores of runs in a table: one line for each configuration, and how likely one improves on another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.types import Array
from torchpolicy.envs.make import known_threshold
from torchpolicy.output.collection import Run, find_runs, group_runs
from torchpolicy.output.saved_policy import load_evaluation
from torchpolicy.output.summary import ENOUGH, improvement, improvement_interval, iqm, iqm_interval
from torchpolicy.output.writers.jsonl import STEPS

HEADS = ("", "seeds", "IQM", "95 % interval", "worst seed", "reach", "env steps", "seconds")
"""Heads of the table's columns; the threshold follows "reach"."""

MOST_PAIRS = 15
"""If there are more pairs of configurations in an environment, only those with the best one are printed."""


@dataclass(frozen=True)
class Row:
    """The runs of one configuration.

    Attributes:
        env: The environment.
        label: The algorithm, followed by the settings in which it differs from other configurations.
        seeds: (N,), the seed of each run.
        scores: (N,), the mean return of each run's final policy in its test.
        threshold: The score that counts as solved; None if none is known.
        env_steps: Median of the environment steps that a run has trained.
        seconds: Median of the seconds that a run has trained.
    """

    env: str
    label: str
    seeds: Array
    scores: Array
    threshold: float | None
    env_steps: float
    seconds: float

    @property
    def iqm(self) -> float:
        """The interquartile mean of the scores."""
        return float(iqm(self.scores))

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % bootstrap interval of the interquartile mean; None for fewer than five seeds."""
        if len(self.scores) < ENOUGH:
            return None
        low, high = iqm_interval(self.scores)
        return float(low), float(high)

    @property
    def reached(self) -> int | None:
        """The number of runs that reach the threshold; None if none is known."""
        return None if self.threshold is None else int((self.scores >= self.threshold).sum())

    def cells(self, digits: int) -> list[str]:
        """The row as words, one for each column, with so many digits after a score's point."""
        worst = int(self.scores.argmin())
        low, high = self.interval or (0.0, 0.0)
        return [
            self.label,
            str(len(self.scores)),
            f"{self.iqm:,.{digits}f}",
            "-" if self.interval is None else f"{low:,.{digits}f} to {high:,.{digits}f}",
            f"{self.scores[worst]:,.{digits}f} ({self.seeds[worst]})",
            "-" if self.reached is None else f"{self.reached} of {len(self.scores)}",
            f"{self.env_steps:,.0f}",
            f"{self.seconds:,.1f}",
        ]


@dataclass(frozen=True)
class Improvement:
    """How likely a run of one configuration scores higher than a run of another, in the same environment.

    Attributes:
        env: The environment.
        better: Label of the configuration with the higher interquartile mean.
        other: Label of the other one.
        probability: Share of the pairs of runs in which the run of `better` scores higher; ties count half.
        interval: The 95 % bootstrap interval of that share; None if either has fewer than five runs.
    """

    env: str
    better: str
    other: str
    probability: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found; printing it shows the table.

    Attributes:
        rows: One for each environment and configuration, the best of an environment first.
        improvements: One for each pair of configurations with at least two runs each.
        unfinished: Folders of runs that have no test score yet, and do not count.
    """

    rows: list[Row]
    improvements: list[Improvement]
    unfinished: list[Path]

    def __str__(self) -> str:
        parts = [self._table(env) for env in dict.fromkeys(row.env for row in self.rows)]
        if self.unfinished:
            parts.append(f"not finished, and left out: {', '.join(map(str, self.unfinished))}")
        return "\n\n".join(parts)

    __repr__ = __str__

    def _table(self, env: str) -> str:
        """The lines of one environment."""
        rows = [row for row in self.rows if row.env == env]
        threshold = rows[0].threshold
        heads = [f"reach {threshold:g}" if head == "reach" and threshold is not None else head for head in HEADS]
        digits = 3 if max(float(abs(row.scores).max()) for row in rows) < 10 else 1
        lines = [env, *_aligned([heads, *(row.cells(digits) for row in rows)])]
        found = [pair for pair in self.improvements if pair.env == env]
        few = len(found) <= MOST_PAIRS
        pairs = [
            [
                f"{pair.better} over {pair.other}",
                f"{pair.probability:.2f}",
                "-" if pair.interval is None else "{:.2f} to {:.2f}".format(*pair.interval),
            ]
            for pair in found
            if few or pair.better == found[0].better
        ]
        if pairs:
            head = "probability of improvement" + ("" if few else ", of the best one only")
            lines += ["", *_aligned([[head, "", "95 % interval"], *pairs])]
        if any(1 < len(row.scores) < ENOUGH for row in rows):
            lines += ["", f"fewer than {ENOUGH} seeds say too little for an interval"]
        return "\n".join(lines)


def compare(runs: str | Path | Iterable[str | Path], threshold: float | None = None) -> Comparison:
    """Compare runs by the test scores of their final policies, in groups that differ in nothing except the seed.

    For each group there is the interquartile mean (IQM) over its seeds with the 95 % bootstrap interval, the worst
    seed, and the median of environment steps and seconds. For each two groups in an environment there is the
    probability that a run of the better one scores higher than a run of the other (Agarwal et al. 2021). There are no
    intervals for fewer than five seeds, of which they would promise too much. A run that is there twice, with the same
    settings, seed, steps and score, counts once.

    Args:
        runs: Run folders, or folders that contain run folders at any depth.
        threshold: The score that counts as solved. None means the target of the runs, or where they had none the
            threshold of Gymnasium's environment.

    Returns:
        A row for each group and the probabilities of improvement; printed, it is the table.

    Raises:
        ValueError: If there are no runs, none is finished, or a file of a run is damaged.
    """
    scores, unfinished = {}, []
    for run in find_runs(runs):
        try:
            scores[run.folder] = (run, load_evaluation(run.folder).mean)
        except CheckpointError:
            if (run.folder / "policy" / "policy.json").exists():  # which is damaged
                raise
            unfinished.append(run.folder)
    if not scores:
        raise ValueError(f"no run is finished, and only finished runs have a test score: {unfinished[0]} is not")
    rows, improvements = [], []
    for env in sorted({run.config["env"] for run, _ in scores.values()}):
        here = [run for run, _ in scores.values() if run.config["env"] == env]
        goal = _threshold(here) if threshold is None else threshold
        found = [
            Row(env, label, *_columns([scores[run.folder] for run in group], goal))
            for label, group in group_runs(here).items()
        ]
        found.sort(key=lambda row: -row.iqm)
        rows += found
        improvements += _improvements([row for row in found if len(row.scores) > 1])
    return Comparison(rows, improvements, unfinished)


def _columns(
    scored: Sequence[tuple[Run, float]], threshold: float | None
) -> tuple[Array, Array, float | None, float, float]:
    """Seeds and scores of a group in the order of seeds, the threshold, and medians of its steps and seconds."""
    once = {(run.config["seed"], run.rows[-1][STEPS], score): run for run, score in scored}
    seeds, _, scores = zip(*sorted(once), strict=True)
    steps, seconds = (float(np.median([run.rows[-1][key] for run in once.values()])) for key in (STEPS, "time/elapsed"))
    return np.array(seeds), np.array(scores), threshold, steps, seconds


def _threshold(runs: Sequence[Run]) -> float | None:
    """The target that all these runs have, or the threshold of their environment."""
    targets = {run.config["target"] for run in runs}
    target = targets.pop() if len(targets) == 1 else None
    return known_threshold(runs[0].config["env"]) if target is None else float(target)


def _improvements(rows: Sequence[Row]) -> list[Improvement]:
    """Each two rows of an environment, the better one first."""
    return [
        Improvement(
            row.env,
            row.label,
            other.label,
            float(improvement(row.scores, other.scores)),
            improvement_interval(row.scores, other.scores)
            if min(len(row.scores), len(other.scores)) >= ENOUGH
            else None,
        )
        for place, row in enumerate(rows)
        for other in rows[place + 1 :]
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of words as lines, the first column on the left and the others on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [f"{row[0]:{widths[0]}}", *(f"{word:>{width}}" for word, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
