"""One module with P weight vectors at once."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchpolicy.policies.parts.state import State, is_recurrent
from torchpolicy.rollout.convolutions import is_convolution
from torchpolicy.rollout.own import Shared, is_hooked
from torchpolicy.rollout.stages import ELEMENTWISE, is_linear, is_wide, layers_of, leaves_of, stages_of, step_of
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.low_rank import is_low_rank, sides_of
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Candidates, Population

AT_ONCE = 2**22
"""Weights that are copied at a time when many members take those of other candidates."""

NARROW = 128
"""The most products, in all linear layers together, of a module that is narrow."""


class Members:
    """A module with P weight vectors at once: a function from inputs (P, N, …) to outputs (P, N, …).

    That of a recurrent module takes a state (P, N, …) as well, and returns the outputs and the next state.

    Member p computes what the module would on inputs[p] with its own vector written into it. The meaning is that of
    :func:`vmap_forward`. Linear layers, ``nn.LayerNorm``, ``nn.Flatten`` and activations, alone or in an
    ``nn.Sequential`` or ``Residual``, and the cells of ``RecurrentPolicy`` take a direct path instead, as one batched
    matrix product a linear layer; the weights of narrow ones are kept as (in, out), which that product reads faster
    than (out, in). An ``nn.Conv2d`` is one convolution in P groups.

    Args:
        module: The module, in eval mode. Randomness such as dropout in training mode is refused by ``vmap``.
        vector: The module's parameters.
        size: P. All members begin with zero weights.
        members_last: Whether each weight's P values lie side by side, for :meth:`numbers`.
        noise_rank: The rank of the noise in each matrix that members will differ by; linear layers then have one
            matrix for all members, and one product with it. None for members that have nothing in common.
    """

    def __init__(
        self,
        module: nn.Module,
        vector: ParamVector,
        size: int,
        *,
        members_last: bool = False,
        noise_rank: int | None = None,
    ) -> None:
        layers = list(layers_of(module))
        leaves = list(leaves_of(layers))
        linear = {id(leaf.weight) for leaf in leaves if is_linear(leaf)}
        narrow = {
            id(leaf.weight) for leaf in leaves if isinstance(leaf, nn.Linear) and is_linear(leaf) and not is_wide(leaf)
        }
        kernels = {id(leaf.weight) for leaf in leaves if is_convolution(leaf)}
        known = [leaf for leaf in leaves if is_linear(leaf) or is_convolution(leaf)]
        others = {id(parameter) for leaf in leaves if leaf not in known for parameter in leaf.parameters()}
        self._vector, self._noise_rank = vector, noise_rank
        self._weights: dict[str, Tensor] = {}  # (P, *shape), by name
        self._shared: dict[str, Shared] = {}
        for name, parameter in vector.parameters.items():
            if noise_rank and id(parameter) in (linear | kernels) - others and is_low_rank(parameter.shape, noise_rank):
                left, right = (parameter.new_zeros(size, side, noise_rank) for side in sides_of(parameter.shape))
                self._shared[name] = Shared(torch.zeros_like(parameter), left, right)
                continue
            if members_last:
                self._weights[name] = parameter.new_zeros(*parameter.shape, size).movedim(-1, 0)
            elif id(parameter) in narrow:
                out, into = parameter.shape
                self._weights[name] = parameter.new_zeros(size, into, out).transpose(1, 2)
            else:
                self._weights[name] = parameter.new_zeros(size, *parameter.shape)
        own = {id(vector.parameters[name]): tensor for name, tensor in self._weights.items()}
        shared = {id(vector.parameters[name]): matrix for name, matrix in self._shared.items()}
        self._stages = [] if is_recurrent(module) else stages_of(layers, own, size, shared)
        self._step = step_of(module, own, size, shared) if is_recurrent(module) else None
        self._functions = [_numbers_of(layer, own) for layer in layers]

    def accept(self, candidates: Candidates) -> Population:
        """Candidates (P, D) as a population whose rows :meth:`write` takes; shared matrices become its center's.

        Raises:
            ValueError: If members share matrices, and candidates are several vectors that have nothing in common.
        """
        around = torch.zeros(self._vector.dim, dtype=self._vector.dtype, device=self._vector.device)
        population = as_population(candidates, around)
        if self._noise_rank:
            population = population.of_rank(self._noise_rank, self._vector.slices)
        for name, matrix in self._shared.items():
            matrix.weight.copy_(population.center[self._vector.slices[name]].view_as(matrix.weight))
        return population

    def write(self, member: int | slice | Tensor, population: Population) -> None:
        """Give a member the weights of a population of one, or several members those of as many (K, D)."""
        slices = self._vector.slices
        for name, weights in self._weights.items():
            weights[member] = population.own(name, slices[name]).view(-1, *slices.shapes[name])
        for name, matrix in self._shared.items():
            matrix.left[member], matrix.right[member] = population.factors(name, slices[name])

    def write_rows(self, members: Tensor, population: Population, rows: Tensor) -> None:
        """Give members (n,) the weights of some rows (n,) of a population, some at a time to save memory."""
        block = max(1, AT_ONCE // self._vector.dim)
        for some, found in zip(torch.split(members, block), torch.split(rows, block), strict=True):
            self.write(some, population[found])

    def __call__(self, inputs: Tensor, state: State = None) -> Any:
        """Outputs (P, N, …) for inputs (P, N, …); of a recurrent module with a state (P, N, …), also the next state."""
        if self._step is not None:
            return self._step(inputs, state)
        for stage in self._stages:
            inputs = stage(inputs)
        return inputs

    def numbers(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Outputs, number by number (P,), for inputs, number by number (P,): one loop over P when compiled."""
        for function in self._functions:
            inputs = function(inputs)
        return inputs


def _numbers_of(layer: nn.Module, own: Mapping[int, Tensor]) -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A layer as a function of numbers (P,).

    The compiler finds what it has compiled for another process only if nothing here differs from process to process, so
    the function does not look up its weights by their ids.

    Args:
        layer: The layer.
        own: (P, *shape), each member's values of the parameter with an id; the others are the same for all members.
    """
    if not isinstance(layer, nn.Linear):
        return lambda inputs: tuple(layer(number) for number in inputs)
    weight = own.get(id(layer.weight), layer.weight.detach().unsqueeze(0))
    bias = None if layer.bias is None else own.get(id(layer.bias), layer.bias.detach().unsqueeze(0))

    def linear(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        outputs = []
        for out in range(weight.shape[1]):
            output = sum(number * weight[:, out, i] for i, number in enumerate(inputs))
            outputs.append(output if bias is None else output + bias[:, out])
        return tuple(outputs)

    return linear


def is_narrow(module: nn.Module) -> bool:
    """Whether a module is so small that :meth:`Members.numbers` is the way to compile it."""
    layers = list(layers_of(module))
    products = [layer.weight.numel() for layer in layers if isinstance(layer, nn.Linear)]
    known = all(type(layer) is nn.Linear or type(layer) in ELEMENTWISE for layer in layers)
    return known and not any(map(is_hooked, layers)) and sum(products) <= NARROW


def population_forward(module: nn.Module, vector: ParamVector, vectors: Candidates) -> Members:
    """The function of :class:`Members` with the weights `vectors` (P, D), which are copied.

    Those whose noise has a low rank have one product with the center's matrices, and their factors' beside it.

    Args:
        module: Any module.
        vector: Its parameters.
        vectors: (P, D), a tensor, or what a search with `noise_rank` asks for.

    Returns:
        A function from inputs (P, N, …) to outputs (P, N, …); with a recurrent module, from inputs and a state
        (P, N, …) to outputs and the next state.

    Raises:
        ValueError: If the vectors do not have that shape.
    """
    population = as_population(vectors, vector.read())
    if population.shape[1:] != (vector.dim,):
        raise ValueError(f"vectors must have shape (P, {vector.dim}), got {population.shape}")
    members = Members(module, vector, len(population), noise_rank=population.rank)
    members.write(slice(None), members.accept(population))
    return members
