"""The noise of sampled actions."""

from collections import Counter
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.policies.parts.heads import Head

NOISE_STEPS = 64
"""Steps that an episode's action noise is drawn for at a time."""


class ActionNoise:
    """Noise of sampled actions: at each step the next number of the episode's own stream, whatever slot it plays in.

    Args:
        head: Draws the noise.
        slots: S, the number of slots.
        seeds: (E,), the seeds of the episodes. Of episodes with the same seed, each has a stream of its own.
        together: Steps that noise is asked for at a time; `NOISE_STEPS` is a multiple of it.
    """

    def __init__(self, head: Head, slots: int, seeds: Sequence[int], together: int = 1) -> None:
        self._head = head
        self._seeds = list(_streams(seeds))
        self._generators = [torch.Generator() for _ in range(slots)]
        self._noise = torch.zeros(slots, NOISE_STEPS, head.noise_size)
        self._position = torch.full((slots,), NOISE_STEPS)
        self._rows, self._steps = torch.arange(slots).unsqueeze(1), torch.arange(together)

    def restart(self, slot: int, episode: int) -> None:
        """Begin the stream of an episode, which indexes the seeds, in a slot."""
        self._generators[slot].manual_seed(self._seeds[episode])
        self._position[slot] = NOISE_STEPS

    def restart_all(self, slots: Tensor, episodes: Tensor) -> None:
        """Begin the streams of several episodes (n,), which index the seeds, in slots (n,)."""
        for slot, episode in zip(slots.tolist(), episodes.tolist(), strict=True):
            self.restart(slot, episode)

    def next_steps(self, device: torch.device) -> Tensor | None:
        """The noise (together, S, noise_size) of the next steps, on a device."""
        for slot in (self._position == NOISE_STEPS).nonzero().flatten().tolist():
            self._noise[slot] = self._head.draw_noise(NOISE_STEPS, self._generators[slot])
            self._position[slot] = 0
        noise = self._noise[self._rows, self._position.unsqueeze(1) + self._steps]
        self._position += len(self._steps)
        return noise.transpose(0, 1).to(device)

    def next(self, device: torch.device) -> Tensor | None:
        """The noise (S, noise_size) of the next step, on a device."""
        noise = self.next_steps(device)
        return None if noise is None else noise[0]


class NoNoise(ActionNoise):
    """No noise: actions are greedy."""

    def __init__(self) -> None:
        pass

    def restart(self, slot: int, episode: int) -> None:
        pass

    def restart_all(self, slots: Tensor, episodes: Tensor) -> None:
        pass

    def next_steps(self, device: torch.device) -> None:
        pass

    def next(self, device: torch.device) -> None:
        pass


def _streams(seeds: Sequence[int]) -> Iterator[int]:
    """The seeds of the noise of episodes with these seeds (E,): the first play of each, its second play, and so on."""
    plays: Counter[int] = Counter()
    for seed in map(int, seeds):
        yield derive_seed(seed, Stream.ACTION, *([plays[seed]] if plays[seed] else []))
        plays[seed] += 1
