"""Learning curves of runs."""

from collections.abc import Iterable

Metrics = dict[str, float]


def validations(metrics: Iterable[Metrics]) -> list[Metrics]:
    """Those of a run's metrics that have a held-out score on all episodes, not on the few of a glance between them."""
    scored = [row for row in metrics if "eval/mean_reward" in row]
    most = max((row["eval/episodes"] for row in scored), default=0)
    return [row for row in scored if row["eval/episodes"] == most]
