"""Recurrent cells, and the network that is built from them.

They compute what torch's ``nn.RNNCell``, ``nn.GRUCell`` and ``nn.LSTMCell`` do, from two linear layers each, so that
the cells of a whole population are batched matrix products, and their matrices can have noise of low rank.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from torchpolicy.base.checks import check_count
from torchpolicy.policies.parts.layers import seeded_linear
from torchpolicy.policies.parts.state import State, first_state


class Cell(nn.Module, ABC):
    """One recurrent layer of H units for N features.

    Args:
        features: N, the number of inputs.
        units: H, the number of units, which is that of outputs, too.
        generator: Source of the initial weights. None is one with seed 0.
        horizon: Steps over which the cell should remember before it has learned anything, for cells with gates.

    Attributes:
        from_input: Linear layer from the input (…, N) to what `gates` numbers for each unit are made of.
        from_output: Linear layer from the output (…, H) of the step before, likewise.
        gates: How many numbers each of the linear layers computes for a unit.
    """

    gates: ClassVar[int]

    def __init__(
        self, features: int, units: int, generator: torch.Generator | None = None, horizon: int | None = None
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.from_input = seeded_linear(features, self.gates * units, True, generator)
        self.from_output = seeded_linear(units, self.gates * units, True, generator)
        if horizon is not None:
            draws = torch.rand(units, generator=generator)
            self.remember((1 + draws * (check_count("horizon", horizon, at_least=2) - 2)).log())

    @property
    def units(self) -> int:
        """H."""
        return self.from_output.in_features

    def remember(self, biases: Tensor) -> None:
        """Set the biases of the gates by which the units keep what they hold, as chrono initialisation does.

        Tallec & Ollivier (2018), "Can recurrent neural networks warp time?" A unit with a bias of log t keeps what it
        holds for about t steps.

        Args:
            biases: (H,), logarithms of numbers that are spread evenly between 1 and the horizon - 1.

        Raises:
            ValueError: If the cell has no such gates.
        """
        raise ValueError("an rnn cell has no gates that could keep something: horizon is for gru and lstm")

    @torch.no_grad()
    def set_gate(self, number: int, biases: Tensor) -> None:
        """Give a gate, by its number among those of a unit, these biases (H,) and no others."""
        place = slice(number * self.units, (number + 1) * self.units)
        self.from_input.bias[place], self.from_output.bias[place] = biases, 0.0

    def initial_state(self) -> State:
        """Zeros (H,): the output before the first step."""
        return self.from_output.weight.new_zeros(self.units)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Output (*B, H) and the next state for inputs (*B, N) and a state (*B, H)."""
        return self.advance(self.from_input(inputs), self.from_output(self.output(state)), state)

    @staticmethod
    def output(state: State) -> Tensor:
        """The output (*B, H) of the step that led to a state."""
        return state  # type: ignore[no-any-return]

    @staticmethod
    @abstractmethod
    def advance(inputs: Tensor, outputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Output (*B, H) and the next state, from what the two linear layers have computed, (*B, gates H) each."""


class RNNCell(Cell):
    """Elman's cell, tanh(from_input(x) + from_output(h)), as ``nn.RNNCell``.

    Elman (1990), "Finding structure in time".
    """

    gates = 1

    @staticmethod
    def advance(inputs: Tensor, outputs: Tensor, state: State) -> tuple[Tensor, State]:
        after = (inputs + outputs).tanh()
        return after, after


class GRUCell(Cell):
    """Gated recurrent unit, as ``nn.GRUCell``: z h + (1 - z) tanh(x_n + r h_n), with gates r and z.

    Cho, van Merriënboer, Gulcehre, Bahdanau, Bougares, Schwenk & Bengio (2014), "Learning phrase representations using
    RNN encoder-decoder for statistical machine translation".
    """

    gates = 3

    def remember(self, biases: Tensor) -> None:
        self.set_gate(1, biases)

    @staticmethod
    def advance(inputs: Tensor, outputs: Tensor, state: State) -> tuple[Tensor, State]:
        units = state.shape[-1]
        gates = (inputs[..., : 2 * units] + outputs[..., : 2 * units]).sigmoid()
        reset, keep = gates[..., :units], gates[..., units:]
        new = torch.addcmul(inputs[..., 2 * units :], reset, outputs[..., 2 * units :]).tanh()
        after = torch.lerp(new, state, keep)
        return after, after


class LSTMCell(Cell):
    """Long short-term memory, as ``nn.LSTMCell``, with a state (h, c) of the output and the memory.

    Hochreiter & Schmidhuber (1997), "Long short-term memory"; the forget gate is that of Gers, Schmidhuber & Cummins
    (2000), "Learning to forget: continual prediction with LSTM".
    """

    gates = 4

    def remember(self, biases: Tensor) -> None:
        self.set_gate(1, biases)
        self.set_gate(0, -biases)  # what is kept longer is written more slowly

    def initial_state(self) -> State:
        """Zeros (H,), twice: the output before the first step, and the memory."""
        return super().initial_state(), super().initial_state()

    @staticmethod
    def output(state: State) -> Tensor:
        return state[0]  # type: ignore[no-any-return]

    @staticmethod
    def advance(inputs: Tensor, outputs: Tensor, state: State) -> tuple[Tensor, State]:
        write, forget, new, read = (inputs + outputs).chunk(4, dim=-1)
        memory = torch.addcmul(forget.sigmoid() * state[1], write.sigmoid(), new.tanh())
        after = read.sigmoid() * memory.tanh()
        return after, (after, memory)


class Recurrent(nn.Module):
    """Layers, then cells, then layers; the state is a tuple of the cells' states.

    Args:
        before: Layers before the cells.
        cells: Cells, each of which takes the output of the one before.
        after: Layers after the cells.
    """

    def __init__(self, before: nn.Sequential, cells: Sequence[Cell], after: nn.Sequential) -> None:
        super().__init__()
        self.before = before
        self.cells = nn.ModuleList(cells)
        self.after = after

    def initial_state(self) -> State:
        """The initial states of the cells."""
        return tuple(first_state(cell) for cell in self.cells)

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs and the next state for inputs (N, *input_shape) and a state (N, …)."""
        features, states = self.before(inputs), []
        for cell, before in zip(self.cells, state, strict=True):
            features, after = cell(features, before)
            states.append(after)
        return self.after(features), tuple(states)


CELLS: dict[str, type[Cell]] = {"gru": GRUCell, "lstm": LSTMCell, "rnn": RNNCell}
"""Cells by their names."""
