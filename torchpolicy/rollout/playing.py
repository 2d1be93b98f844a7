"""The episodes in progress, one in each slot, and those that wait for a slot."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from torchpolicy.base.activity import PLACE, RESET, TICK
from torchpolicy.base.finite import find_not_finite
from torchpolicy.envs.base import EnvSlots
from torchpolicy.policies.parts.normalizer import Moments
from torchpolicy.rollout.action_noise import ActionNoise
from torchpolicy.rollout.members import Members
from torchpolicy.rollout.memory import Memory
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.recording import Recording
from torchpolicy.rollout.stopping import Stopping
from torchpolicy.vectors.population import Population


class Playing:
    """Which episode plays in which slot; each is entered in the outcome when it ends.

    Args:
        envs: S environments.
        members: S networks; the one of a slot gets the weights of the candidate that plays there.
        population: The candidates' weights.
        queue: The episodes to play.
        outcome: Where they are entered.
        memory: Restarted where an episode begins.
        noise: Restarted where an episode begins.
        moments: Restarted where an episode begins, and entered in the outcome when it ends.
        recording: Keeps the episodes that ended well.
        stopping: Says which episodes are to be stopped.

    Attributes:
        live: The slots with an episode in progress, in ascending order.
        tick: Steps so far.
    """

    def __init__(
        self,
        envs: EnvSlots,
        members: Members,
        population: Population,
        queue: Iterator[Episode],
        outcome: Outcome,
        *,
        memory: Memory,
        noise: ActionNoise,
        moments: Moments,
        recording: Recording,
        stopping: Stopping,
    ) -> None:
        self._envs, self._members, self._population = envs, members, population
        self._queue, self._outcome = queue, outcome
        self._memory, self._noise, self._moments = memory, noise, moments
        self._recording, self._stopping = recording, stopping
        self._episodes: dict[int, Episode] = {}  # those in progress, by slot
        self._waiting: dict[int, Episode] = {}  # those that begin as soon as their slot can
        self._totals = np.zeros(len(envs.rewards))  # rewards so far of those in progress
        self.live: list[int] = []
        self.tick = self._busy = 0

    @property
    def goes_on(self) -> bool:
        """Whether there is an episode in progress, or one that waits for its slot."""
        return bool(self._episodes or self._waiting)

    def begin(self, count: int) -> None:
        """Start the first episodes, in `count` slots."""
        self._envs.clear()
        for slot in range(count):
            self._take_next(slot)
        self._start_waiting()

    def advance(self, ended: list[int], failed: dict[int, str], mute: dict[int, str]) -> None:
        """Take in a step of all live slots, and start the next episodes where some have ended.

        Args:
            ended: Slots whose episode ended with the step.
            failed: Slots whose episode failed in the step, and why.
            mute: Slots that were not stepped for want of an action, and why.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite fails its episode
            self._totals += self._envs.rewards
        self.tick += 1
        self._busy += len(self.live)
        failed = self._find_failures() | failed
        for slot in ended:
            if slot not in failed:
                self._finish(slot)
        for slot, reason in failed.items():
            self._fail(slot, self.tick, reason)
        for slot, reason in mute.items():
            self._fail(slot, self.tick - 1, reason)
        for slot in self._stopping.look(self.tick, self._totals):
            self._fall_behind(slot)
        if len(self._episodes) < len(self.live) or self._waiting:
            self._start_waiting()

    @property
    def utilisation(self) -> float:
        """The share of slots with an episode, a mean over the steps."""
        return self._busy / max(1, self.tick * len(self._totals))

    def _take_next(self, slot: int) -> None:
        """Let a slot, whose episode is over, take the next episode of the queue; without one it stays empty."""
        self._episodes.pop(slot, None)
        for rows in (self._envs.observations, self._envs.rewards, self._totals):
            rows[slot] = 0  # nothing of a failure lingers
        for episode in islice(self._queue, 1):
            self._waiting[slot] = episode
            self._envs.activity.play(slot, episode.number)

    def _start_waiting(self) -> None:
        """Start the episodes that wait, where the slot can begin one; one that fails makes room for the next."""
        envs = self._envs
        while self._waiting:
            seeds = {slot: episode.seed for slot, episode in self._waiting.items()}
            envs.activity.row[PLACE] = RESET
            started, failed = envs.begin(seeds, alone=not self._episodes)
            envs.activity.row[PLACE] = 0
            envs.activity.row[TICK] += 1
            failed |= find_not_finite("observation", started, envs.observations)
            for slot in started:
                if slot not in failed:
                    self._start(slot, self._waiting.pop(slot))
            for slot, reason in failed.items():
                self._outcome.fail(self._waiting.pop(slot), 0, reason)
                self._take_next(slot)
            if not failed:
                break
        self.live = sorted(self._episodes)

    def _start(self, slot: int, episode: Episode) -> None:
        """Let a slot play an episode, whose first observation is there."""
        self._members.write(slot, self._population[episode.candidate])
        self._memory.restart(slot)
        self._noise.restart(slot, episode.episode)
        self._moments.restart(slot)
        self._totals[slot], episode.started, self._episodes[slot] = 0.0, self.tick, episode
        self._stopping.start(slot, episode)

    def _find_failures(self) -> dict[int, str]:
        """Live slots whose sum of rewards or whose observation is not finite, and which of them."""
        failed = find_not_finite("sum of rewards", self.live, self._totals)
        return failed | find_not_finite("observation", self.live, self._envs.observations)

    def _finish(self, slot: int) -> None:
        """Enter the episode of a slot, which ended, and take the next."""
        episode, total = self._episodes[slot], self._totals[slot]
        length, truncated = self.tick - episode.started, bool(self._envs.truncated[slot])
        self._stopping.end(slot, episode, total, length)
        self._outcome.finish(episode, length, total, truncated, self._moments.of(slot))
        self._recording.keep(episode.number, slot, episode.started, self.tick)
        self._take_next(slot)

    def _fail(self, slot: int, tick: int, reason: str) -> None:
        """Enter the episode of a slot as failed after the engine's step `tick`, and take the next."""
        episode, length = self._episodes[slot], tick - self._episodes[slot].started
        self._stopping.end(slot, episode, np.nan, length)
        self._outcome.fail(episode, length, reason)
        self._take_next(slot)

    def _fall_behind(self, slot: int) -> None:
        """Mark the episode of a slot as behind the reference; stop it, unless it is spared, and take the next."""
        episode, total, outcome = self._episodes[slot], self._totals[slot], self._outcome
        place = episode.candidate, episode.episode
        outcome.behind[place] = True
        if not self._stopping.stops(episode.candidate):
            return
        outcome.stopped[place] = True
        gain, outcome.completed[place] = self._stopping.stop(slot, episode)
        outcome.finish(episode, self.tick - episode.started, total + gain, False, self._moments.of(slot))
        self._take_next(slot)
