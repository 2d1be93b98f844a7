"""Held-out scores with their intervals."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from torchpolicy.base.intervals import mean_interval, share_of_others
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.types import Array
from torchpolicy.rollout.outcome import Failure
from torchpolicy.rollout.slots import Rollout


@dataclass(frozen=True)
class Evaluation:
    """Returns of one policy on held-out episodes.

    Attributes:
        returns: (E,), undiscounted sums of rewards; NaN for a failed episode.
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
        """95 % interval of the mean: Student's below 30 episodes, the bootstrap's from 30 on (see :mod:`intervals`).

        It has no width if all returns are equal. Both ends are NaN for a single episode, or if an episode failed.
        """
        return mean_interval(self.returns)

    def __repr__(self) -> str:
        return f"Evaluation: {self}"

    def __str__(self) -> str:
        text = f"{self.mean:.1f}, 95 % interval {self.ci[0]:.1f} to {self.ci[1]:.1f}, over {len(self.returns)} episodes"
        if self.ci[0] == self.ci[1]:
            text += f", all equal (up to {100 * share_of_others(len(self.returns)):.0f} % of others may differ)"
        return f"{text} ({len(self.failures)} failed: {self.failures[0]})" if self.failures else text


def evaluate_vector(
    rollout: Rollout,
    vector: Tensor,
    *,
    seed: int,
    stream: Stream,
    episodes: int,
    generation: int = 0,
    sampled: bool = False,
) -> Evaluation:
    """Play the policy with weights `vector` (D,) through episodes of a stream.

    Args:
        rollout: The rollout that plays them.
        vector: (D,), the weights.
        seed: The root of the episodes' seeds.
        stream: The stream that the episodes' seeds come from.
        episodes: E, the number of episodes.
        generation: The generation whose episodes are played; each has its own.
        sampled: Whether actions are sampled and not greedy.
    """
    outcome = rollout.play(vector[None], episode_seeds(seed, stream, generation, episodes), sampled=sampled)
    return Evaluation(outcome.returns[0], outcome.lengths[0], outcome.failures)
