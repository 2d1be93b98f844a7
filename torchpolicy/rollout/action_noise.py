"""The noise of sampled actions."""

import torch
from torch import Tensor

from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.policies.parts.heads import Head

NOISE_STEPS = 64
"""Steps that an episode's action noise is drawn for at a time."""


class ActionNoise:
    """Noise of sampled actions: at each step the next number of the episode's own stream, whatever slot it plays in.

    Args:
        head: Draws it.
        slots: S.
        together: Steps that it is asked for at a time; `NOISE_STEPS` is a multiple of it.
    """

    def __init__(self, head: Head, slots: int, together: int = 1) -> None:
        self._head = head
        self._generators = [torch.Generator() for _ in range(slots)]
        self._noise = torch.zeros(slots, NOISE_STEPS, head.noise_size)
        self._position = torch.full((slots,), NOISE_STEPS)
        self._rows, self._steps = torch.arange(slots).unsqueeze(1), torch.arange(together)

    def restart(self, slot: int, seed: int) -> None:
        self._generators[slot].manual_seed(derive_seed(seed, Stream.ACTION))
        self._position[slot] = NOISE_STEPS

    def next(self) -> Tensor:
        """(together, S, noise_size)."""
        for slot in (self._position == NOISE_STEPS).nonzero().flatten().tolist():
            self._noise[slot] = self._head.draw_noise(NOISE_STEPS, self._generators[slot])
            self._position[slot] = 0
        noise = self._noise[self._rows, self._position.unsqueeze(1) + self._steps]
        self._position += len(self._steps)
        return noise.transpose(0, 1)
