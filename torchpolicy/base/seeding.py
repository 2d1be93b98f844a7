"""Seeds as pure functions of their purpose, so that no result depends on which process computed it, or when."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """The purposes of random numbers.

    The episode seeds of different streams are always different numbers, whatever the roots. So no score is measured on
    an episode that was used for training.
    """

    TRAIN = 0
    VALIDATION = 1  # decides when to stop
    CONFIRMATION = 2  # a second set of episodes, which must agree to a stop
    TEST = 3  # the reported score, used for nothing else
    SEARCH = 4
    POLICY = 5
    ACTION = 6  # noise of sampled actions, derived from the episode's seed
    EVALUATION = 7  # episodes that a user scores, draws or shows; never those of a run's test
    CALLBACK = 8  # episodes that callbacks score during a run
    RESTARTS = 9  # where searches that are begun again start


FIRST_SEEDS = {
    Stream.TRAIN: (0, 29),
    Stream.VALIDATION: (1 << 29, 29),
    Stream.CONFIRMATION: (2 << 29, 29),
    Stream.TEST: (6 << 28, 28),
    Stream.EVALUATION: (14 << 27, 27),
    Stream.CALLBACK: (15 << 27, 27),
}
"""The first seed of each stream of episodes, and n if the stream has 2^n seeds of its own."""


def derive_seed(root: int, stream: Stream, *key: int) -> int:
    """A 31-bit seed for `key` within `stream`, in the run with the seed `root`; the same on every machine."""
    sequence = np.random.SeedSequence(entropy=root, spawn_key=(int(stream), *key))
    return int(sequence.generate_state(1, np.uint32)[0] >> 1)


def episode_seeds(root: int, stream: Stream, generation: int, episodes: int) -> list[int]:
    """The seeds (E,) of the episodes of one generation.

    They do not depend on the candidate. All candidates of a generation play the same episodes (common random numbers),
    so that their scores differ only because of their weights.
    """
    first, bits = FIRST_SEEDS[stream]
    return [first | derive_seed(root, stream, generation, episode) >> (31 - bits) for episode in range(episodes)]
