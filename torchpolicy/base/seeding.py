"""Seeds as pure functions of what they are for, so that no result depends on who computed it, or when."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What randomness is used for.

    Seeds of episodes of different streams are different numbers, whatever the roots, so no score is
    measured on episodes that were trained on.
    """

    TRAIN = 0
    VALIDATION = 1  # decides when to stop
    CONFIRMATION = 2  # agrees to a stop
    TEST = 3  # the reported score, used for nothing else
    SEARCH = 4
    POLICY = 5
    ACTION = 6  # noise of sampled actions, derived from the episode's seed
    EVALUATION = 7  # what a user scores, draws or shows: before or after a run's test, never the same episodes
    CALLBACK = 8  # what callbacks score in the course of a run


FIRST_SEEDS = {
    Stream.TRAIN: (0, 29),
    Stream.VALIDATION: (1 << 29, 29),
    Stream.CONFIRMATION: (2 << 29, 29),
    Stream.TEST: (6 << 28, 28),
    Stream.EVALUATION: (14 << 27, 27),
    Stream.CALLBACK: (15 << 27, 27),
}
"""Of the streams of episodes: the first of the seeds that only this stream has, and the bits of their number."""


def derive_seed(root: int, stream: Stream, *key: int) -> int:
    """A 31-bit seed, the same on every machine, for `key` within `stream` of the run seeded with `root`."""
    sequence = np.random.SeedSequence(entropy=root, spawn_key=(int(stream), *key))
    return int(sequence.generate_state(1, np.uint32)[0] >> 1)


def episode_seeds(root: int, stream: Stream, generation: int, episodes: int) -> list[int]:
    """Seeds of the episodes of one generation, (E,).

    They do not depend on the candidate: with common random numbers all candidates of a generation
    meet the same episodes, so that their scores differ by their weights alone.
    """
    first, bits = FIRST_SEEDS[stream]
    return [first | derive_seed(root, stream, generation, episode) >> (31 - bits) for episode in range(episodes)]
