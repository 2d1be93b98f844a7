"""The layers of a module with P weight vectors at once, a function from inputs (P, N, …) to outputs for each."""

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm

from torchpolicy.policies.parts.cells import CELLS, Cell, Recurrent
from torchpolicy.policies.parts.features import Fourier, Polynomial
from torchpolicy.policies.parts.layers import Branches, ChannelsFirst, Residual
from torchpolicy.policies.parts.state import State
from torchpolicy.rollout.convolutions import convolution, is_convolution, shared_convolution
from torchpolicy.rollout.own import Forward, Shared, is_hooked, of_members
from torchpolicy.vectors.params import ParamVector

Step = Callable[[Tensor, State], tuple[Tensor, State]]

ROWWISE = (
    *(ChannelsFirst, Fourier, Polynomial, nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU),
    *(nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softsign, nn.Tanh),
)
"""Layers without weights to search that take any dimensions before the last."""

ELEMENTWISE = tuple(layer for layer in ROWWISE if layer not in (ChannelsFirst, Fourier, Polynomial))
"""Layers among them that take each number alone."""

WIDE = 2**13
"""Weights of a linear layer from which on it is wide. For 256 members with one observation each, layers of 64 x 192,
128 x 128, 256 x 256 and 1,024 x 128 are 1.8, 2.7, 2.3 and 3.2 times as fast that way; for 32 members, 1.0, 1.0, 0.9 and
4.8 times. A layer of 64 x 64 is 0.8 times as fast."""

POOLING = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d)
"""Layers without weights that take one batch dimension."""

IN_PLACE: dict[type[nn.Module], Forward] = {nn.ReLU: torch.relu_, nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}
"""What computes an activation in the memory of its input."""


def member_weights(vector: ParamVector, vectors: Tensor) -> dict[int, Tensor]:
    """The weights of P members, {id of the parameter: (P, *shape)}, as views of `vectors` (P, D)."""
    return {id(vector.parameters[name]): tensor for name, tensor in vector.unflatten(vectors).items()}


def vmap_forward(module: nn.Module, weights: dict[int, Tensor]) -> Callable[..., Any]:
    """The definition, for any module: ``vmap`` of ``functional_call``, on inputs (P, N, …) and, if it has one, a state.

    Each place of a parameter is named here, once. Left to find tied weights by itself,
    ``functional_call`` (torch 2.13) does not put back those of a layer that a module holds twice.
    """
    own = {
        f"{prefix}.{name}" if prefix else name: weights[id(parameter)]
        for prefix, part in module.named_modules()
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False)
        if id(parameter) in weights
    }

    def member(own: dict[str, Tensor], inputs: tuple[Any, ...]) -> Any:
        return functional_call(module, own, inputs, tie_weights=False)

    mapped = torch.func.vmap(member)
    return lambda *inputs: mapped(own, inputs)


def layers_of(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that `module` applies one after the other."""
    if type(module) is nn.Sequential and not is_hooked(module):
        for child in module:
            yield from layers_of(child)
    else:
        yield module


def leaves_of(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Layers; those that are made of others are replaced by these."""
    for layer in layers:
        if is_hooked(layer):
            yield layer
        elif type(layer) is Residual:
            yield from leaves_of(layers_of(layer.body))
        elif type(layer) is Branches:
            yield from leaves_of(each for branch in layer.branches for each in layers_of(branch))
        elif type(layer) is Recurrent:
            yield from leaves_of([*layers_of(layer.before), *layer.cells, *layers_of(layer.after)])
        elif isinstance(layer, Cell) and type(layer) in CELLS.values():
            yield from (layer.from_input, layer.from_output)
        else:
            yield layer


def stages_of(
    layers: Iterable[nn.Module], weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None
) -> list[Forward]:
    """A function for each layer; an activation overwrites what the linear layer before it has made."""
    stages: list[Forward] = []
    fresh = False
    for layer in layers:
        over = IN_PLACE.get(type(layer)) if fresh and not is_hooked(layer) else None
        stages.append(over or _stage(layer, weights, population, shared))
        fresh = is_linear(layer) or is_convolution(layer)
    return stages


def _one_by_one(
    layers: Iterable[nn.Module], weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None
) -> Forward:
    """The function of layers that are applied one after the other."""
    stages = stages_of(layers, weights, population, shared)
    return lambda inputs: reduce(lambda x, stage: stage(x), stages, inputs)


def _stage(
    layer: nn.Module, weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None = None
) -> Forward:
    if not is_hooked(layer):
        if type(layer) in ROWWISE:
            return layer
        if isinstance(layer, nn.Linear) and is_linear(layer):
            matrix = (shared or {}).get(id(layer.weight))
            return _linear(layer, weights, population) if matrix is None else _shared(layer, matrix, weights)
        if type(layer) is Residual:
            inner = _one_by_one(layers_of(layer.body), weights, population, shared)
            return lambda inputs: inputs + inner(inputs)
        if isinstance(layer, nn.Conv2d) and is_convolution(layer):
            kernels = (shared or {}).get(id(layer.weight))
            if kernels is None:
                return convolution(layer, weights, population)
            return shared_convolution(layer, kernels, weights)
        if type(layer) is Branches:
            branches = [_one_by_one(layers_of(each), weights, population, shared) for each in layer.branches]
            return lambda inputs: layer.joined(inputs, branches)
        if type(layer) in POOLING:
            return lambda inputs: layer(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        if type(layer) is nn.LayerNorm:
            return _layer_norm(layer, weights, population)
        if type(layer) is nn.Flatten and layer.start_dim > 0:
            return nn.Flatten(layer.start_dim + 1, layer.end_dim + (layer.end_dim > 0))
    return vmap_forward(layer, weights)


def step_of(
    module: nn.Module, weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None = None
) -> Step:
    """The function of a recurrent module: from inputs (P, N, …) and a state to outputs and the next state."""
    if is_hooked(module):
        return vmap_forward(module, weights)
    if isinstance(module, Cell) and type(module) in CELLS.values():
        from_input = _stage(module.from_input, weights, population, shared)
        from_output = _stage(module.from_output, weights, population, shared)
        return lambda inputs, state: module.advance(from_input(inputs), from_output(module.output(state)), state)
    if type(module) is not Recurrent:
        return vmap_forward(module, weights)
    before = _one_by_one(layers_of(module.before), weights, population, shared)
    cells = [step_of(cell, weights, population, shared) for cell in module.cells]
    after = _one_by_one(layers_of(module.after), weights, population, shared)

    def step(inputs: Tensor, state: State) -> tuple[Tensor, State]:
        features, states = before(inputs), []
        for cell, old in zip(cells, state, strict=True):
            features, new = cell(features, old)
            states.append(new)
        return after(features), tuple(states)

    return step


def _linear(layer: nn.Linear, weights: dict[int, Tensor], population: int) -> Forward:
    weight = of_members(layer.weight, weights, population)  # (P, out, in)
    bias = None if layer.bias is None else of_members(layer.bias, weights, population)  # (P, out)

    def narrow(inputs: Tensor) -> Tensor:
        if bias is None:
            return torch.bmm(inputs, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), inputs, weight.transpose(1, 2))

    def wide(inputs: Tensor) -> Tensor:
        one = inputs.shape[1] == 1
        rows = inputs.squeeze(1).unsqueeze(1) if one else inputs  # the strides of a dimension of 1 decide on its speed
        columns = rows.transpose(1, 2)
        outputs = torch.bmm(weight, columns) if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, columns)
        return outputs.squeeze(2).unsqueeze(1) if one else outputs.transpose(1, 2)

    product = wide if is_wide(layer) else narrow

    def forward(inputs: Tensor) -> Tensor:
        if inputs.ndim != 3:  # like nn.Linear, on the last dimension of any number
            if inputs.shape[0] != population:
                raise ValueError(f"inputs must begin with the population {population}, got {tuple(inputs.shape)}")
            flat = inputs.reshape(population, -1, layer.in_features)
            return forward(flat).reshape(*inputs.shape[:-1], layer.out_features)
        return product(inputs)

    return forward


def _shared(layer: nn.Linear, matrix: Shared, weights: dict[int, Tensor]) -> Forward:
    """One product for all members, and a thin one for each."""
    size = len(matrix.left)
    bias = torch.zeros(size, layer.out_features, dtype=matrix.weight.dtype, device=matrix.weight.device)
    if layer.bias is not None:
        bias = of_members(layer.bias, weights, size)
    left, right = matrix.left.transpose(1, 2), matrix.right  # (P, r, out), (P, in, r)
    in_vectors, shared = left.shape[1] == 1, matrix.weight.T
    thin_left, thin_right = left[:, 0], right[:, :, 0]

    def forward(inputs: Tensor) -> Tensor:
        if in_vectors and inputs.ndim == 3 and inputs.shape[1] == 1:  # thin products of one observation, as such
            rows = inputs.squeeze(1)
            own = torch.addcmul(bias, torch.linalg.vecdot(rows, thin_right).unsqueeze(1), thin_left)
            return own.addmm_(rows, shared).unsqueeze(1)
        flat = inputs.reshape(size, -1, layer.in_features)
        own = torch.baddbmm(bias.unsqueeze(1), torch.bmm(flat, right), left)
        outputs = own.flatten(0, 1).addmm_(flat.flatten(0, 1), shared)
        return outputs.view(*inputs.shape[:-1], layer.out_features)

    return forward


def _layer_norm(layer: nn.LayerNorm, weights: dict[int, Tensor], population: int) -> Forward:
    shape, eps = layer.normalized_shape, layer.eps
    if layer.weight is None:
        return layer
    weight = of_members(layer.weight, weights, population)
    bias = torch.zeros_like(weight) if layer.bias is None else of_members(layer.bias, weights, population)

    def forward(inputs: Tensor) -> Tensor:
        each = population, *[1] * (inputs.ndim - 1 - len(shape)), *shape  # beside the inputs (P, N, …)
        return torch.addcmul(bias.view(each), layer_norm(inputs, shape, eps=eps), weight.view(each))

    return forward


def is_linear(layer: nn.Module) -> bool:
    """Whether a layer takes the direct path of linear layers."""
    return type(layer) is nn.Linear and not is_hooked(layer)


def is_wide(layer: nn.Linear) -> bool:
    """Whether a linear layer's weights times its inputs, as columns, are faster than its inputs times its weights.

    It depends on the layer alone, and not on how many members there are, on which bits must not depend.
    """
    return layer.in_features * layer.out_features >= WIDE
