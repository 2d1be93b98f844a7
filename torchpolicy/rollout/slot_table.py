"""The state of all parallel tensor episodes, as one table."""

from typing import Any, NamedTuple, Self

import torch
from torch import Tensor


class SlotTable(NamedTuple):
    """State of all slots. Its tensors except `moments` are the rows of one table, (K + 4, S), of float32 or float64.

    All rows hold floating-point numbers: a compiled loop over the slots that carries whole numbers or truth values
    from step to step has half the speed.

    Attributes:
        state: K numbers of the environments, each (S,); one tensor (K, S) where the environment wants it so.
        totals: (S,), rewards so far.
        lengths: (S,), steps so far.
        alive: (S,), 1 while an episode is in progress, then 0.
        fault: (S,), into `FAULTS`.
        moments: (S, 2, *input_shape) float64, sums for the normaliser; (S, 0) unless they are asked for.
    """

    state: Any
    totals: Tensor
    lengths: Tensor
    alive: Tensor
    fault: Tensor
    moments: Tensor

    @classmethod
    def of(cls, table: Tensor, moments: Tensor, *, matrix: bool = False) -> Self:
        """The rows of a table (K + 4, S), by name, as views."""
        totals, lengths, alive, fault = table[-4:].unbind()
        return cls(table[:-4] if matrix else table[:-4].unbind(), totals, lengths, alive, fault, moments)

    @staticmethod
    def beginning(states: Tensor) -> Tensor:
        """The table (K + 4, E) of episodes that begin in states (K, E)."""
        zeros = states.new_zeros(1, states.shape[1])
        totals, lengths, alive, fault = zeros, zeros, zeros + 1, zeros
        return torch.cat([states, totals, lengths, alive, fault])


def parts_of(state: Any) -> tuple[Tensor, ...]:
    """The tensors of a state: K of them, each (S,), or a single one, (K, S)."""
    return (state,) if isinstance(state, Tensor) else state
