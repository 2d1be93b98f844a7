"""The episodes in progress, one in each slot, and those that wait for a slot."""

from collections.abc import Iterator
from math import isfinite

import numpy as np

from torchpolicy.base.finite import find_not_finite, why_not_finite
from torchpolicy.envs.base import EnvSlots
from torchpolicy.policies.parts.normalizer import Moments
from torchpolicy.rollout.action_noise import ActionNoise
from torchpolicy.rollout.members import Members
from torchpolicy.rollout.memory import Memory
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.recording import Recording
from torchpolicy.rollout.stopping import Stopping
from torchpolicy.vectors.population import Population

REWARD_CHECK = 64
"""Steps between looks at the sums of rewards, which are looked at when an episode ends, too."""


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
        live: The slots with an episode in progress.
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
        self._totals = np.zeros(len(envs.rewards))  # their rewards so far
        self.live: list[int] = []
        self.tick = self._busy = 0

    def begin(self, count: int) -> None:
        """Start the first episodes, in `count` slots."""
        for slot in range(count):
            self._start_next(slot)
        self.live = list(self._episodes)

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
            if slot not in failed and not self._finish(slot):
                failed[slot] = f"sum of rewards is not finite: {self._totals[slot]}"
        for slot, reason in failed.items():
            self._fail(slot, self.tick, reason)
        for slot, reason in mute.items():
            self._fail(slot, self.tick - 1, reason)
        for slot in self._stopping.look(self.tick, self._totals):
            self._fall_behind(slot)
        if len(self._episodes) < len(self.live):
            self.live = list(self._episodes)

    @property
    def utilisation(self) -> float:
        """The share of slots with an episode, a mean over the steps."""
        return self._busy / max(1, self.tick * len(self._totals))

    def _start_next(self, slot: int) -> None:
        """Let a slot take the next episode of the queue that can be started; without one it stays empty."""
        envs = self._envs
        for episode in self._queue:
            reason = envs.reset(slot, episode.seed) or why_not_finite("observation", envs.observations[slot])
            if reason is not None:
                self._outcome.fail(episode, 0, reason)
                continue
            self._members.write(slot, self._population[episode.candidate])
            self._memory.restart(slot)
            self._noise.restart(slot, episode.episode)
            self._moments.restart(slot)
            self._totals[slot], episode.started, self._episodes[slot] = 0.0, self.tick, episode
            self._stopping.start(slot, episode)
            return
        self._episodes.pop(slot, None)
        envs.observations[slot] = envs.rewards[slot] = 0  # nothing of a failure lingers

    def _find_failures(self) -> dict[int, str]:
        """Live slots whose observation, or now and then whose sum of rewards, is not finite, and which."""
        failed = {}
        if self.tick % REWARD_CHECK == 0:  # a sum keeps what a reward brought in
            failed = find_not_finite("sum of rewards", self.live, self._totals)
        return failed | find_not_finite("observation", self.live, self._envs.observations)

    def _finish(self, slot: int) -> bool:
        """Enter the episode of a slot, which ended, and start the next; do neither if its return is not finite."""
        episode, total = self._episodes[slot], self._totals[slot]
        if not isfinite(total):
            return False
        length, truncated = self.tick - episode.started, bool(self._envs.truncated[slot])
        self._stopping.end(slot, episode, total, length)
        self._outcome.finish(episode, length, total, truncated, self._moments.of(slot))
        self._recording.keep(episode.number, slot, episode.started, self.tick)
        self._start_next(slot)
        return True

    def _fail(self, slot: int, tick: int, reason: str) -> None:
        """Enter the episode of a slot as failed after the engine's step `tick`, and start the next."""
        episode, length = self._episodes[slot], tick - self._episodes[slot].started
        self._stopping.end(slot, episode, np.nan, length)
        self._outcome.fail(episode, length, reason)
        self._start_next(slot)

    def _fall_behind(self, slot: int) -> None:
        """Mark the episode of a slot as behind the reference; stop it, unless it is spared, and start the next."""
        episode, total, outcome = self._episodes[slot], self._totals[slot], self._outcome
        place = episode.candidate, episode.episode
        outcome.behind[place] = True
        if not self._stopping.stops(episode.candidate):
            return
        if not isfinite(total):
            self._fail(slot, self.tick, f"sum of rewards is not finite: {total}")
            return
        outcome.stopped[place] = True
        gain, outcome.completed[place] = self._stopping.stop(slot, episode)
        outcome.finish(episode, self.tick - episode.started, total + gain, False, self._moments.of(slot))
        self._start_next(slot)
