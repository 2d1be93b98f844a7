"""What the networks of the slots remember: a state in each slot, begun anew with each episode."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from torchpolicy.policies.parts.state import State, first_state, is_recurrent
from torchpolicy.rollout.members import Members


class Memory:
    """The states of S slots, which are stepped all together.

    Args:
        module: The recurrent module.
        slots: S, the number of slots.

    Attributes:
        alive: (S,), 0 for slots whose episode has ended: their states stay as they are. None: all states move on.
    """

    alive: Tensor | None = None

    def __init__(self, module: nn.Module, slots: int) -> None:
        self._first, self._structure = tree_flatten(first_state(module, 1, 1))
        self._states = tree_flatten(first_state(module, slots, 1))[0]  # (S, 1, …)

    def restart(self, slots: int | Tensor) -> None:
        """Begin anew in a slot, or in slots (n,)."""
        for state, first in zip(self._states, self._first, strict=True):
            state[slots] = first[0] if isinstance(slots, int) else first

    def network(self, members: Members) -> Callable[[Tensor], Tensor]:
        """The function of the slots' inputs (S, …), which takes their states from here and leaves the next ones."""

        def forward(inputs: Tensor) -> Tensor:
            state: State = tree_unflatten(self._states, self._structure)
            outputs, after = members(inputs.unsqueeze(1), state)
            outputs = outputs.squeeze(1).clone()  # what a module returns may be its old state, or a part of it
            for old, new in zip(self._states, [leaf.clone() for leaf in tree_flatten(after)[0]], strict=True):
                if self.alive is None:
                    old.copy_(new)
                else:
                    alive = self.alive.view(-1, *[1] * (old.ndim - 1)) > 0
                    old.copy_(torch.where(alive, new, old))
            return outputs  # type: ignore[no-any-return]

        return forward


class NoMemory(Memory):
    """What networks without a state remember."""

    def __init__(self) -> None:
        pass

    def restart(self, slots: int | Tensor) -> None:
        pass

    def network(self, members: Members) -> Callable[[Tensor], Tensor]:
        return lambda inputs: members(inputs.unsqueeze(1)).squeeze(1)


def make_memory(module: nn.Module, slots: int) -> Memory:
    """The memory of S slots in which a module plays."""
    return Memory(module, slots) if is_recurrent(module) else NoMemory()
