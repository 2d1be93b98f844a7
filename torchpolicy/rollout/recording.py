"""Taking down what slots do, step by step."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.processes import Group
from torchpolicy.base.types import Array
from torchpolicy.rollout.episodes import Episodes

BLOCK = 256
"""Steps that a recording grows by."""


class Recording:
    """Takes down what S slots do, and in the end hands over the episodes that ended.

    Args:
        observations: (S, *O), an example of what will be observed.
        choices: (S, *choice_shape), an example of what will be chosen.
    """

    def __init__(self, observations: Array, choices: Array) -> None:
        self._like = observations, choices, np.zeros(len(observations))
        self._blocks: list[list[Array]] = []  # observations, choices and rewards, each (BLOCK, S, …)
        self._ended: dict[int, tuple[int, int, int]] = {}  # number: slot, first step, end
        self._steps = 0

    def before(self, observations: Tensor, choices: Tensor) -> None:
        """Take down what all slots observe (S, *O), and what they choose (S, *choice_shape)."""
        row = self._steps % BLOCK
        if row == 0:
            self._blocks.append([np.empty((BLOCK, *like.shape), like.dtype) for like in self._like])
        self._blocks[-1][0][row] = observations.numpy(force=True)
        self._blocks[-1][1][row] = choices.numpy(force=True)

    def after(self, rewards: Array) -> None:
        """Take down the rewards (S,) of the step."""
        self._blocks[-1][2][self._steps % BLOCK] = rewards
        self._steps += 1

    def take(self, steps: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Take down whole steps: observations (S, *O), choices (S, *choice_shape) and rewards (S,)."""
        for observations, choices, rewards in steps:
            self.before(observations, choices)
            self.after(rewards.numpy(force=True))

    def keep(self, number: int, slot: int, begin: int, end: int) -> None:
        """Keep an episode by its number: the steps of a slot from `begin` to before `end`."""
        self._ended[number] = slot, begin, end

    def keep_all(self, numbers: Tensor, slots: Tensor, begins: Tensor, lengths: Tensor, faults: Tensor) -> None:
        """Keep those of n episodes whose fault is 0; all arguments are (n,), lengths in steps."""
        columns: Iterable[list[float]] = (column.tolist() for column in (numbers, slots, begins, lengths, faults))
        for number, slot, begin, length, fault in zip(*columns, strict=True):
            if not fault:
                self.keep(int(number), int(slot), int(begin), int(begin + length))

    def gathered(self, group: Group, seeds: Sequence[int]) -> Episodes:
        """All episodes that the processes of a group kept, in the order of their numbers, which index seeds (E,)."""
        own = np.array(list(self._ended), np.int64)
        spans = np.array([end - begin for _, begin, end in self._ended.values()], np.int64)
        kinds = [self._of_all(kind) for kind in range(3)]
        parts = [torch.from_numpy(group.join(part)) for part in (own, spans, *kinds)]
        numbers, lengths, observations, choices, rewards = parts
        order, steps = numbers.argsort(), numbers.repeat_interleave(lengths).argsort(stable=True)
        began = torch.tensor(seeds, dtype=torch.int64)[numbers[order]]
        return Episodes(observations[steps], choices[steps], rewards[steps], lengths[order], began)

    def _of_all(self, kind: int) -> Array:
        """Observations, choices or rewards (kind 0, 1 or 2) of the episodes that were kept, one after the other."""
        pieces = [self._like[kind][:0]]
        for slot, begin, end in self._ended.values():
            for first in range(begin - begin % BLOCK, end, BLOCK):
                block = self._blocks[first // BLOCK][kind]
                pieces.append(block[max(0, begin - first) : end - first, slot])
        return np.concatenate(pieces)


class NoRecording(Recording):
    """Takes nothing down."""

    def __init__(self) -> None:
        pass

    def before(self, observations: Tensor, choices: Tensor) -> None:
        pass

    def after(self, rewards: Array) -> None:
        pass

    def take(self, steps: Iterable[tuple[Tensor, Tensor, Tensor]]) -> None:
        pass

    def keep(self, number: int, slot: int, begin: int, end: int) -> None:
        pass

    def keep_all(self, numbers: Tensor, slots: Tensor, begins: Tensor, lengths: Tensor, faults: Tensor) -> None:
        pass
