"""Returns, lengths and failures of the episodes that were played."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from torchpolicy.base.processes import Group
from torchpolicy.base.types import Array

LINE_END = "\n"


class Episode:
    """One of the P * E episodes that P candidates play: episode `number` % E of candidate `number` // E.

    Args:
        number: Number of the episode, from 0 to P * E - 1.
        seeds: (E,), the seeds of a candidate's episodes.
    """

    def __init__(self, number: int, seeds: Sequence[int]) -> None:
        self.number = number
        self.candidate, self.episode = divmod(number, len(seeds))
        self.seed = int(seeds[self.episode])
        self.started = 0  # steps that the engine had done before its first


@dataclass(frozen=True)
class Failure:
    """An episode that could not be played to its end.

    Attributes:
        candidate: The number of the candidate that played it.
        episode: Its number among the candidate's episodes.
        seed: Its seed.
        step: Steps that it had done.
        reason: One line; after it, where code of the user's own raised, the traceback.
    """

    candidate: int
    episode: int
    seed: int
    step: int
    reason: str

    def __str__(self) -> str:
        place = f"candidate {self.candidate}, episode {self.episode} (seed {self.seed}), step {self.step}"
        return f"{place}: {self.reason.partition(LINE_END)[0]}"

    @property
    def details(self) -> str:
        """The traceback; empty if there is none."""
        return self.reason.partition(LINE_END)[2].rstrip()


@dataclass
class Outcome:
    """What a population came to in its episodes.

    Attributes:
        returns: (P, E) float64, undiscounted sums of rewards; NaN for a failed episode.
        lengths: (P, E) int64, in steps.
        truncated: (P, E) bool, whether an episode was cut off, and did not come to an end of its own in that step.
        failures: The failed episodes, in the order of candidates and episodes.
        behind: (P, E) bool, whether an episode fell behind the reference of its generation.
        stopped: (P, E) bool, whether it was stopped for that. Its return is what it had, and what the reference still
            gains from there on; its length is the number of steps that were taken.
        completed: (P, E) int64, the steps that the return of a stopped episode was completed by.
        moments: (P, E, 2, *O) float64, sums of the deviations of observations from the normaliser's mean, and of
            their squares; zero for a failed episode. None unless they were asked for.
        slot_utilisation: The share of slots at work, a mean over the engine's steps.
    """

    returns: Array
    lengths: Array
    truncated: Array
    behind: Array
    stopped: Array
    completed: Array
    failures: list[Failure]
    moments: Array | None = None
    slot_utilisation: float = 1.0

    @classmethod
    def empty(cls, population: int, episodes: int) -> Self:
        """The outcome before anything was played."""
        shape = population, episodes
        truncated, behind, stopped = np.zeros((3, *shape), bool)
        lengths, completed = np.zeros((2, *shape), np.int64)
        return cls(np.zeros(shape), lengths, truncated, behind, stopped, completed, [])

    def finish(
        self, episode: Episode, length: int, total: float, truncated: bool, moments: Array | None = None
    ) -> None:
        """Enter an episode that ended, with its return and its moments (2, *O)."""
        self.returns[episode.candidate, episode.episode] = total
        self.lengths[episode.candidate, episode.episode] = length
        self.truncated[episode.candidate, episode.episode] = truncated
        if self.moments is not None and moments is not None:
            self.moments[episode.candidate, episode.episode] = moments

    def fail(self, episode: Episode, step: int, reason: str) -> None:
        """Enter an episode that failed."""
        self.finish(episode, step, np.nan, truncated=False)
        self.failures.append(Failure(episode.candidate, episode.episode, episode.seed, step, reason))

    def gathered(self, group: Group) -> Self:
        """All that the processes of a group played; each episode was played by one of them."""
        counts = [self.slot_utilisation, len(self.failures)]
        moments = np.empty(0) if self.moments is None else self.moments.ravel()
        episodes = np.stack(
            [self.returns, self.lengths, self.truncated, self.behind, self.stopped, self.completed]
        )  # (6, P, E)
        everything = group.sum(np.concatenate([episodes.ravel(), moments, counts]))
        returns, lengths, *_ = whole = everything[: episodes.size].reshape(episodes.shape)
        truncated, behind, stopped = whole[2:5] > 0
        gathered = None if self.moments is None else everything[episodes.size : -2].reshape(self.moments.shape)
        failures: list[Failure] = []
        if everything[-1]:
            texts = group.gather(json.dumps([asdict(failure) for failure in self.failures]))
            failures = [Failure(**each) for text in texts for each in json.loads(text)]
            failures.sort(key=lambda failure: (failure.candidate, failure.episode))
        utilisation = everything[-2] / group.size
        lengths, completed = lengths.astype(np.int64), whole[5].astype(np.int64)
        return type(self)(returns, lengths, truncated, behind, stopped, completed, failures, gathered, utilisation)

    @property
    def scores(self) -> Array:
        """(P,), the mean return of each candidate; NaN if one of its episodes failed."""
        scores: Array = self.returns.mean(1)
        return scores

    @property
    def env_steps(self) -> int:
        """The number of environment steps in all."""
        return int(self.lengths.sum())
