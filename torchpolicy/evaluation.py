"""Held-out scores, with an interval."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from torchpolicy.outcome import Failure
from torchpolicy.rollout import Rollout
from torchpolicy.seeding import Stream, episode_seeds
from torchpolicy.spaces import Array

RESAMPLES = 2000


@dataclass(frozen=True)
class Evaluation:
    """Scores of one policy.

    Attributes:
        returns: (E,), undiscounted; NaN for a failed episode.
        lengths: (E,), in steps.
        failures: Episodes that could not be played to their end.
    """

    returns: Array
    lengths: Array
    failures: list[Failure]

    @property
    def mean(self) -> float:
        """Mean return; NaN if an episode failed."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the returns."""
        return float(self.returns.std(ddof=1)) if len(self.returns) > 1 else 0.0

    @cached_property
    def ci(self) -> tuple[float, float]:
        """95 % interval of the mean: the percentile bootstrap, which never leaves the range of returns.

        NaN where there is none: for one episode, or after a failure.
        """
        count = len(self.returns)
        if count < 2:
            return float("nan"), float("nan")
        rng = np.random.default_rng(0)
        means = [self.returns[rng.integers(0, count, count)].mean() for _ in range(RESAMPLES)]
        low, high = np.quantile(means, [0.025, 0.975])
        return float(low), float(high)

    def __str__(self) -> str:
        text = f"{self.mean:.1f}, 95 % interval {self.ci[0]:.1f} to {self.ci[1]:.1f}, over {len(self.returns)} episodes"
        return f"{text} ({len(self.failures)} failed: {self.failures[0]})" if self.failures else text


def evaluate_vector(
    rollout: Rollout, vector: Tensor, *, seed: int, stream: Stream, episodes: int, generation: int = 0
) -> Evaluation:
    """Play the policy with weights `vector` (D,) through episodes of a stream.

    Args:
        rollout: Plays them.
        vector: (D,).
        seed: Root of the episodes' seeds.
        stream: Which episodes.
        episodes: E, how many.
        generation: Each has episodes of its own.
    """
    outcome = rollout.play(vector[None], episode_seeds(seed, stream, generation, episodes))
    return Evaluation(outcome.returns[0], outcome.lengths[0], outcome.failures)
