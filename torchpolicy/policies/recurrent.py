"""Policies that remember: recurrent cells between layers."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from gymnasium import Space
from torch import nn

from torchpolicy.base.checks import WIDEST_LAYER, check_choice, check_count, check_counts
from torchpolicy.policies.base import Policy, policy_generator
from torchpolicy.policies.parts.cells import CELLS, Recurrent
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.layers import seeded_linear


class RecurrentPolicy(Policy):
    """Recurrent cells one after the other, with a linear layer to the actions; and tanh layers before them, if asked.

    Args:
        observation_space: The environment's observation space, any that :class:`Policy` takes.
        action_space: The environment's action space, any that :class:`Policy` takes.
        cell: Kind of the cells: gru, lstm or rnn. These three also are names of a policy by themselves.
        hidden: Number of units of each cell.
        layers: Number of cells.
        before: Number of units of each tanh layer before the cells.
        horizon: Steps over which gru and lstm cells should remember before they have learned anything, at least 2. A
            unit of theirs begins by keeping what it holds for between 1 and that many steps. None leaves it to the
            initial weights of torch's cells, which forget within a few steps.
        seed: Seed of the initial weights, which have the distribution of ``nn.Linear``'s.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        cell: str = "gru",
        hidden: int | Sequence[int] = 32,
        layers: int = 1,
        before: int | Sequence[int] = (),
        horizon: int | None = None,
        seed: int = 0,
    ) -> None:
        check_choice("cell", cell, CELLS)
        hidden = hidden[0] if isinstance(hidden, Sequence) and len(hidden) == 1 else hidden
        hidden = check_count("hidden", hidden, at_least=1, at_most=WIDEST_LAYER)
        layers = check_count("layers", layers, at_least=1)
        before = check_counts("before", before, at_most=WIDEST_LAYER)
        shape, outputs = make_encoder(observation_space).input_shape, make_head(action_space).input_size
        generator = policy_generator(seed)
        first: list[nn.Module] = [] if len(shape) == 1 else [nn.Flatten()]
        for inputs, units in pairwise([prod(shape), *before]):
            first += [seeded_linear(inputs, units, True, generator), nn.Tanh()]
        widths = [before[-1] if before else prod(shape), *[hidden] * layers]
        cells = [CELLS[cell](inputs, units, generator, horizon) for inputs, units in pairwise(widths)]
        last = nn.Sequential(seeded_linear(hidden, outputs, True, generator))
        super().__init__(Recurrent(nn.Sequential(*first), cells, last), observation_space, action_space)
        if type(self) is RecurrentPolicy:
            options = {"cell": cell, "hidden": hidden, "layers": layers, "before": before}
            options |= {} if horizon is None else {"horizon": horizon}
            self.settings = {"policy": "recurrent", "policy_args": options}
