"""What one policy observed, chose and earned, step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Episodes:
    """A batch of N whole episodes, with M steps in all, one episode after the other.

    Attributes:
        observations: (M, *O), as the environment gave them.
        choices: (M, *head.choice_shape), what the policy chose: the index of an action, or the action before it is
            squashed into its bounds.
        rewards: (M,) float64.
        lengths: (N,) int64, in steps, each at least 1.
        seeds: (N,) int64. Episodes with the same seed began alike.
    """

    observations: Tensor
    choices: Tensor
    rewards: Tensor
    lengths: Tensor
    seeds: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def owners(self) -> Tensor:
        """(M,) int64, the number of the episode that each step belongs to."""
        return torch.arange(len(self)).repeat_interleave(self.lengths)

    @cached_property
    def times(self) -> Tensor:
        """(M,) int64, steps since the episode began."""
        return torch.arange(len(self.rewards)) - self._begins[self.owners]

    @cached_property
    def starts(self) -> Tensor:
        """(N,) int64, the number of the start of each episode, from 0: the same for episodes with the same seed."""
        numbers: Tensor = torch.unique(self.seeds, return_inverse=True)[1]
        return numbers

    @cached_property
    def _begins(self) -> Tensor:
        return self.lengths.cumsum(0) - self.lengths

    def returns(self, discount: float = 1.0) -> Tensor:
        """(N,) float64, the sum over t of discount^t times the reward of step t."""
        weighted = self.rewards if discount == 1 else self.rewards * discount ** self.times.double()
        return torch.zeros(len(self), dtype=torch.float64).index_add(0, self.owners, weighted)

    def rewards_to_go(self, discount: float = 1.0) -> Tensor:
        """(M,) float64, the sum of rewards from each step to the end of its episode, discounted from that step on."""
        padded = self.padded(self.rewards)
        for t in range(padded.shape[1] - 2, -1, -1):
            padded[:, t] += discount * padded[:, t + 1]
        return padded[self.owners, self.times]

    def padded(self, values: Tensor) -> Tensor:
        """Values of steps (M,) as a matrix (N, T) with an episode a row, 0 after its end."""
        padded = torch.zeros(len(self), int(self.lengths.max()) if len(self) else 0, dtype=values.dtype)
        padded[self.owners, self.times] = values
        return padded

    def sums_at(self, values: Tensor, groups: Tensor) -> Tensor:
        """(M,), sums of values (M,) over the steps at the same time in the same group; groups (N,) count from 0."""
        longest = int(self.lengths.max())
        places = groups[self.owners] * longest + self.times
        sums = torch.zeros((int(groups.max()) + 1) * longest, dtype=values.dtype)
        return sums.index_add(0, places, values)[places]

    def as_dict(self) -> dict[str, Tensor]:
        """The tensors, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_dict(
        cls, tensors: Mapping[str, Tensor], observation_shape: Sequence[int], choice_shape: Sequence[int]
    ) -> Self:
        """The inverse of :meth:`as_dict`.

        Raises:
            ValueError: If the tensors are not those of episodes with such observations and choices.
        """
        names = [field.name for field in fields(cls)]
        odd = sorted(tensors.keys() ^ set(names))
        if odd:
            raise ValueError(f"missing or unknown {', '.join(odd)}")
        lengths, seeds = tensors["lengths"], tensors["seeds"]
        for name, whole in {"lengths": lengths, "seeds": seeds}.items():
            if not isinstance(whole, Tensor) or whole.dtype != torch.int64 or whole.ndim != 1:
                raise ValueError(f"{name} should be whole numbers, (N,)")
        if len(seeds) != len(lengths) or not (lengths > 0).all():
            raise ValueError("lengths should be at least 1, one for each seed")
        shapes = {"observations": tuple(observation_shape), "choices": tuple(choice_shape), "rewards": ()}
        for name, shape in shapes.items():
            tensor, wanted = tensors[name], (int(lengths.sum()), *shape)
            if not isinstance(tensor, Tensor) or tuple(tensor.shape) != wanted or not tensor.isfinite().all():
                raise ValueError(f"{name} should be a finite tensor of shape {wanted}")
        return cls(**tensors)

    def select(self, chosen: Tensor) -> "Episodes":
        """The episodes that a mask (N,) chooses."""
        steps = chosen[self.owners]
        whole = self.lengths[chosen], self.seeds[chosen]
        return Episodes(self.observations[steps], self.choices[steps], self.rewards[steps], *whole)

    @classmethod
    def joined(cls, batches: Sequence[Self]) -> Self:
        """Several batches, at least one, joined to one."""
        parts = [batch.as_dict() for batch in batches]
        return cls(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})
