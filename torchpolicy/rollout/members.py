"""One module with P weight vectors at once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import layer_norm

from torchpolicy.policies.parts.features import Fourier, Polynomial
from torchpolicy.policies.parts.layers import Residual
from torchpolicy.vectors.low_rank import Population, is_low_rank
from torchpolicy.vectors.params import ParamVector

Forward = Callable[[Tensor], Tensor]

ROWWISE = (
    *(Fourier, Polynomial, nn.ELU, nn.GELU, nn.Identity, nn.LeakyReLU, nn.ReLU),
    *(nn.Sigmoid, nn.SiLU, nn.Softplus, nn.Softsign, nn.Tanh),
)
"""Layers without weights to search that take any dimensions before the last."""

ELEMENTWISE = tuple(layer for layer in ROWWISE if layer not in (Fourier, Polynomial))
"""Those that take each number alone."""

IN_PLACE: dict[type[nn.Module], Forward] = {nn.ReLU: torch.relu_, nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}
"""Those that may overwrite their input."""

NARROW = 128
"""Products in all linear layers together, up to which a module is narrow."""


@dataclass
class Shared:
    """A matrix that all members have but for factors of their own: weight + left @ right^T."""

    weight: Tensor  # (out, in)
    left: Tensor  # (P, out, r)
    right: Tensor  # (P, in, r)


class Members:
    """A module with P weight vectors at once: a function from inputs (P, N, …) to outputs (P, N, …).

    Member p computes what the module would on inputs[p] with its own vector written into it. The
    meaning is that of :func:`vmap_forward`. Linear layers, ``nn.LayerNorm``, ``nn.Flatten`` and activations,
    alone or in an ``nn.Sequential`` or ``Residual``, take a direct path instead, as one batched matrix product
    a linear layer; the weights of those are kept as (in, out), which that product reads faster than (out, in).

    Args:
        module: In eval mode. Randomness such as dropout in training mode is refused by ``vmap``.
        vector: The module's parameters.
        size: P. All members begin with zero weights.
        members_last: Keep each weight's P values side by side, for :meth:`numbers`.
        noise_rank: Of the noise that members will differ by, of a :class:`Population`; then linear layers have one
            matrix for all, and one product with it. None for members that have nothing in common.
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
        layers = self._layers = list(_layers(module))
        leaves = list(_leaves(layers))
        linear = {id(leaf.weight) for leaf in leaves if _is_linear(leaf)}
        others = {id(parameter) for leaf in leaves if not _is_linear(leaf) for parameter in leaf.parameters()}
        self._vector = vector
        self._weights: dict[str, Tensor] = {}  # (P, *shape), by name
        self._shared: dict[str, Shared] = {}
        for name, parameter in vector.parameters.items():
            if noise_rank and id(parameter) in linear - others and is_low_rank(parameter.shape, noise_rank):
                left, right = (parameter.new_zeros(size, side, noise_rank) for side in parameter.shape)
                self._shared[name] = Shared(torch.zeros_like(parameter), left, right)
                continue
            if members_last:
                self._weights[name] = parameter.new_zeros(*parameter.shape, size).movedim(-1, 0)
            elif id(parameter) in linear:
                out, into = parameter.shape
                self._weights[name] = parameter.new_zeros(size, into, out).transpose(1, 2)
            else:
                self._weights[name] = parameter.new_zeros(size, *parameter.shape)
        self._by_id = {id(vector.parameters[name]): tensor for name, tensor in self._weights.items()}
        shared = {id(vector.parameters[name]): matrix for name, matrix in self._shared.items()}
        self._stages = _stages(layers, self._by_id, size, shared)

    def settle(self, center: Tensor) -> None:
        """Give all members the center (D,) that a population is around, before it is written."""
        parts = self._vector.unflatten(center)
        for name, matrix in self._shared.items():
            matrix.weight.copy_(parts[name])

    def write(self, member: int | slice | Tensor, vectors: Tensor | Population) -> None:
        """Give a member its vector (D,), or several members theirs (K, D)."""
        if isinstance(vectors, Population):
            for name in self._weights:
                self._weights[name][member] = vectors.own(name)
            for name, matrix in self._shared.items():
                matrix.left[member], matrix.right[member] = vectors.scaled(name)
            return
        for name, part in self._vector.unflatten(vectors).items():
            self._weights[name][member] = part

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs (P, N, …) for inputs (P, N, …)."""
        for stage in self._stages:
            inputs = stage(inputs)
        return inputs

    def numbers(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Outputs, number by number (P,), for inputs, number by number (P,): one loop over P when compiled."""
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                inputs = self._linear_numbers(layer, inputs)
            else:
                inputs = tuple(layer(number) for number in inputs)
        return inputs

    def _linear_numbers(self, layer: nn.Linear, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        weight = self._by_id.get(id(layer.weight), layer.weight.detach().unsqueeze(0))
        outputs = []
        for out in range(layer.out_features):
            output = sum(inputs[i] * weight[:, out, i] for i in range(layer.in_features))
            if layer.bias is not None:
                output = output + self._by_id.get(id(layer.bias), layer.bias.detach().unsqueeze(0))[:, out]
            outputs.append(output)
        return tuple(outputs)


def is_narrow(module: nn.Module) -> bool:
    """Whether a module is so small that :meth:`Members.numbers` is the way to compile it."""
    layers = list(_layers(module))
    products = [layer.weight.numel() for layer in layers if isinstance(layer, nn.Linear)]
    known = all(type(layer) is nn.Linear or type(layer) in ELEMENTWISE for layer in layers)
    return known and not any(map(_is_hooked, layers)) and sum(products) <= NARROW


def population_forward(module: nn.Module, vector: ParamVector, vectors: Tensor | Population) -> Forward:
    """The function of :class:`Members` with the weights `vectors` (P, D), which are copied.

    Those of a :class:`Population` have one product with the center's matrices, and their factors' beside it.
    """
    if len(vectors.shape) != 2:
        raise ValueError(f"vectors must have shape (P, {vector.dim}), got {tuple(vectors.shape)}")
    rank = vectors.rank if isinstance(vectors, Population) else None
    members = Members(module, vector, len(vectors), noise_rank=rank)
    if isinstance(vectors, Population):
        members.settle(vectors.center)
    members.write(slice(None), vectors)
    return members


def member_weights(vector: ParamVector, vectors: Tensor) -> dict[int, Tensor]:
    """The weights of P members, {id of the parameter: (P, *shape)}, as views of `vectors` (P, D)."""
    return {id(vector.parameters[name]): tensor for name, tensor in vector.unflatten(vectors).items()}


def vmap_forward(module: nn.Module, weights: dict[int, Tensor]) -> Forward:
    """The definition, for any module: ``vmap`` of ``functional_call``.

    Each place of a parameter is named here, once. Left to find tied weights by itself,
    ``functional_call`` (torch 2.13) does not put back those of a layer that a module holds twice.
    """
    own = {
        f"{prefix}.{name}" if prefix else name: weights[id(parameter)]
        for prefix, part in module.named_modules()
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False)
        if id(parameter) in weights
    }

    def member(own: dict[str, Tensor], inputs: Tensor) -> Tensor:
        output: Tensor = functional_call(module, own, (inputs,), tie_weights=False)
        return output

    mapped = torch.func.vmap(member)
    return lambda inputs: mapped(own, inputs)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that `module` applies one after the other."""
    if type(module) is nn.Sequential and not _is_hooked(module):
        for child in module:
            yield from _layers(child)
    else:
        yield module


def _leaves(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Layers, and in place of a residual one those in it."""
    for layer in layers:
        if type(layer) is Residual and not _is_hooked(layer):
            yield from _leaves(_layers(layer.body))
        else:
            yield layer


def _stages(
    layers: Iterable[nn.Module], weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None
) -> list[Forward]:
    """A function for each layer; an activation overwrites what the linear layer before it has made."""
    stages: list[Forward] = []
    fresh = False
    for layer in layers:
        over = IN_PLACE.get(type(layer)) if fresh and not _is_hooked(layer) else None
        stages.append(over or _stage(layer, weights, population, shared))
        fresh = _is_linear(layer)
    return stages


def _stage(
    layer: nn.Module, weights: dict[int, Tensor], population: int, shared: dict[int, Shared] | None = None
) -> Forward:
    if not _is_hooked(layer):
        if type(layer) in ROWWISE:
            return layer
        if isinstance(layer, nn.Linear) and _is_linear(layer):
            matrix = (shared or {}).get(id(layer.weight))
            return _linear(layer, weights, population) if matrix is None else _shared(layer, matrix, weights)
        if type(layer) is Residual:
            inner = _stages(_layers(layer.body), weights, population, shared)
            return lambda inputs: inputs + reduce(lambda x, stage: stage(x), inner, inputs)
        if type(layer) is nn.LayerNorm:
            return _layer_norm(layer, weights, population)
        if type(layer) is nn.Flatten and layer.start_dim > 0:
            return nn.Flatten(layer.start_dim + 1, layer.end_dim + (layer.end_dim > 0))
    return vmap_forward(layer, weights)


def _of_members(parameter: Tensor, weights: dict[int, Tensor], population: int) -> Tensor:
    """What each member has for a parameter, (P, *shape); the same where it is frozen."""
    return weights.get(id(parameter), parameter.detach().expand(population, *parameter.shape))


def _linear(layer: nn.Linear, weights: dict[int, Tensor], population: int) -> Forward:
    weight = _of_members(layer.weight, weights, population).transpose(1, 2)  # (P, in, out)
    bias = None if layer.bias is None else _of_members(layer.bias, weights, population).unsqueeze(1)  # (P, 1, out)

    def forward(inputs: Tensor) -> Tensor:
        if inputs.ndim != 3:  # like nn.Linear, on the last dimension of any number
            if inputs.shape[0] != population:
                raise ValueError(f"inputs must begin with the population {population}, got {tuple(inputs.shape)}")
            flat = inputs.reshape(population, -1, layer.in_features)
            return forward(flat).reshape(*inputs.shape[:-1], layer.out_features)
        return torch.bmm(inputs, weight) if bias is None else torch.baddbmm(bias, inputs, weight)

    return forward


def _shared(layer: nn.Linear, matrix: Shared, weights: dict[int, Tensor]) -> Forward:
    """One product for all members, and a thin one for each."""
    size = len(matrix.left)
    bias = torch.zeros(size, layer.out_features, dtype=matrix.weight.dtype, device=matrix.weight.device)
    if layer.bias is not None:
        bias = _of_members(layer.bias, weights, size)
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
    weight = _of_members(layer.weight, weights, population)
    bias = torch.zeros_like(weight) if layer.bias is None else _of_members(layer.bias, weights, population)

    def forward(inputs: Tensor) -> Tensor:
        each = population, *[1] * (inputs.ndim - 1 - len(shape)), *shape  # beside the inputs (P, N, …)
        return torch.addcmul(bias.view(each), layer_norm(inputs, shape, eps=eps), weight.view(each))

    return forward


def _is_linear(layer: nn.Module) -> bool:
    """Whether a layer takes the direct path of linear layers."""
    return type(layer) is nn.Linear and not _is_hooked(layer)


def _is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
