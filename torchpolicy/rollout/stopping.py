"""Which episodes of a generation are stopped early: those that fall behind a reference, and would not catch up.

The idea is that of Arza, Le Goff and Hart (2023), "Generalized early stopping in evolutionary direct policy search"
(arXiv 2308.03574): a candidate is stopped when its partial return lies below that of a better one, and did so for a
while. Here the reference is the same for a whole generation, so that it does not matter who plays which episode when.
"""

from collections.abc import Sequence

import numpy as np

from torchpolicy.base.processes import Group
from torchpolicy.base.types import Array
from torchpolicy.rollout.outcome import Episode, Outcome

EVERY = 10
"""Steps of an episode between looks at its partial score."""

GRACE = 5
"""Looks in a row, before the one that stops an episode, at which it has to be behind, too."""


class Reference:
    """What the better half of a generation had at least, at each look.

    Args:
        curve: (N,) float64, the lowest partial score of the better half after 1, …, N times `EVERY` steps. An episode
            that has ended keeps its score; N looks are enough for the longest.
    """

    def __init__(self, curve: Array) -> None:
        self.curve = curve

    def leaves_behind(self, scores: Sequence[float]) -> bool:
        """Whether an episode is behind: it is below the curve, and would end below if it went on as it did lately.

        The second condition is for episodes that earn slowly and last long: they may overtake. It assumes that the
        episode earns as much a step as in the last `GRACE` looks, for as long as the longest of the better half lasts.

        Args:
            scores: (n,) the partial scores of the episode at its first n looks, n > 0.
        """
        looks, score = len(scores), scores[-1]
        if not score < self._at(looks):
            return False
        since = min(looks, GRACE)
        before = scores[-1 - since] if looks > since else 0.0
        left = max(0, len(self.curve) - looks)
        return bool(score + (score - before) / since * left < self.curve[-1])

    def gain(self, looks: int) -> float:
        """The difference that the curve makes from its `looks`-th look to its end."""
        return float(self.curve[-1]) - self._at(looks)

    def completed(self, scores: Sequence[float]) -> list[float]:
        """The partial scores (n,) of a stopped episode, continued as the curve goes on: (N,), or (n,) if n > N."""
        rest = self.curve[len(scores) :] - self._at(len(scores))
        return [*scores, *(scores[-1] + rest).tolist()]

    def _at(self, looks: int) -> float:
        """The curve at the `looks`-th look, from 1 on; it keeps its last value."""
        return float(self.curve[min(looks, len(self.curve)) - 1])


class Stopping:
    """Watches the episodes of a generation, and says which are to be stopped.

    Scores are what a search is told: returns less a penalty for each step.

    Args:
        reference: What they are compared with; None stops no episode, and only takes down partial scores.
        spared: (P,) bool, the candidates whose episodes are played to their end in any case.
        step_penalty: Amount that is subtracted from the return for each step.
    """

    def __init__(self, reference: Reference | None, spared: Array, step_penalty: float = 0.0) -> None:
        self.reference, self._spared, self._step_penalty = reference, spared, step_penalty
        self._curves: dict[int, list[float]] = {}  # partial scores of all episodes by number, the last at their end
        self._due: list[dict[int, Episode]] = [{} for _ in range(EVERY)]  # in slots, by the tick of their looks
        self._behind: dict[int, int] = {}  # looks in a row, by the number of the episode

    def start(self, slot: int, episode: Episode) -> None:
        """Watch an episode that begins in a slot."""
        self._due[episode.started % EVERY][slot] = episode
        self._curves[episode.number] = []

    def end(self, slot: int, episode: Episode, total: float, length: int) -> None:
        """Take down the return of an episode that ended or failed, after so many steps."""
        del self._due[episode.started % EVERY][slot]
        self._curves[episode.number].append(total - self._step_penalty * length)

    def look(self, tick: int, totals: Array) -> list[int]:
        """Look at the episodes whose turn it is.

        Args:
            tick: Steps that the engine has done.
            totals: (S,), the rewards so far in each slot.

        Returns:
            The slots whose episode has fallen behind with this look.
        """
        fallen = []
        for slot, episode in self._due[tick % EVERY].items():
            if tick == episode.started:
                continue
            scores = self._curves[episode.number]
            scores.append(float(totals[slot]) - self._step_penalty * (tick - episode.started))
            if self.reference is not None:
                run = self._behind.get(episode.number, 0) + 1 if self.reference.leaves_behind(scores) else 0
                self._behind[episode.number] = run
                if run == GRACE + 1:
                    fallen.append(slot)
        return fallen

    def stops(self, candidate: int) -> bool:
        """Whether an episode of a candidate is stopped when it has fallen behind."""
        return not self._spared[candidate]

    def stop(self, slot: int, episode: Episode) -> tuple[float, int]:
        """Take down that an episode is stopped at its latest look.

        Returns:
            The return that the reference gains from there to its end, and the steps that this takes.
        """
        del self._due[episode.started % EVERY][slot]
        if self.reference is None:
            return 0.0, 0
        scores = self._curves[episode.number]
        gain = self.reference.gain(len(scores))
        steps = EVERY * max(0, len(self.reference.curve) - len(scores))
        self._curves[episode.number] = self.reference.completed(scores)
        return gain + self._step_penalty * steps, steps

    def lowest(self, better: Array, outcome: Outcome, group: Group) -> Array:
        """The reference that some candidates leave to the next generation.

        Args:
            better: (n,) their numbers, n > 0; none of them failed.
            outcome: What all came to, of all processes.
            group: The processes that played; each has the partial scores of its own episodes.

        Returns:
            (N,) float64, the curve of a :class:`Reference`.
        """
        lengths = np.ceil(outcome.lengths[better] / EVERY).astype(int)
        if self.reference is not None:
            continued = np.maximum(lengths, len(self.reference.curve))
            lengths = np.where(outcome.stopped[better], continued, lengths)
        episodes = outcome.returns.shape[1]
        lowest = np.full(int(lengths.max()), np.inf)
        for number in (better[:, None] * episodes + np.arange(episodes)).ravel().tolist():
            scores = self._curves.get(number)
            if scores is not None:
                np.minimum(lowest[: len(scores)], scores, out=lowest[: len(scores)])
                np.minimum(lowest[len(scores) :], scores[-1], out=lowest[len(scores) :])
        together: Array = group.join(lowest[None]).min(0)
        return together


class NoStopping(Stopping):
    """Watches nothing, and stops nothing."""

    def __init__(self) -> None:
        pass

    def start(self, slot: int, episode: Episode) -> None:
        pass

    def end(self, slot: int, episode: Episode, total: float, length: int) -> None:
        pass

    def look(self, tick: int, totals: Array) -> list[int]:
        return []
