"""The noise of sampled actions."""

from collections.abc import Sequence

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
        together: Steps that noise is asked for at a time; `NOISE_STEPS` is a multiple of it.
    """

    def __init__(self, head: Head, slots: int, together: int = 1) -> None:
        self._head = head
        self._generators = [torch.Generator() for _ in range(slots)]
        self._noise = torch.zeros(slots, NOISE_STEPS, head.noise_size)
        self._position = torch.full((slots,), NOISE_STEPS)
        self._rows, self._steps = torch.arange(slots).unsqueeze(1), torch.arange(together)

    def restart(self, slot: int, seed: int) -> None:
        """Begin the stream of the episode of `seed` in a slot."""
        self._generators[slot].manual_seed(derive_seed(seed, Stream.ACTION))
        self._position[slot] = NOISE_STEPS

    def restart_all(self, slots: Tensor, episodes: Tensor, seeds: Sequence[int]) -> None:
        """Begin the streams of several episodes (n,), which index the seeds, in slots (n,)."""
        for slot, episode in zip(slots.tolist(), episodes.tolist(), strict=True):
            self.restart(slot, int(seeds[episode]))

    def next_steps(self, device: torch.device) -> Tensor | None:
        """The noise (together, S, noise_size) of the next steps, on a device."""
        for slot in (self._position == NOISE_STEPS).nonzero().flatten().tolist():
            self._noise[slot] = self._head.draw_noise(NOISE_STEPS, self._generators[slot])
            self._position[slot] = 0
        noise = self._noise[self._rows, self._position.unsqueeze(1) + self._steps]
        self._position += len(self._steps)
        return noise.transpose(0, 1).to(device)

    def next(self) -> Tensor | None:
        """The noise (S, noise_size) of the next step."""
        noise = self.next_steps(torch.device("cpu"))
        return None if noise is None else noise[0]


class NoNoise(ActionNoise):
    """No noise: actions are greedy."""

    def __init__(self) -> None:
        pass

    def restart(self, slot: int, seed: int) -> None:
        pass

    def restart_all(self, slots: Tensor, episodes: Tensor, seeds: Sequence[int]) -> None:
        pass

    def next_steps(self, device: torch.device) -> None:
        pass

    def next(self) -> None:
        pass
