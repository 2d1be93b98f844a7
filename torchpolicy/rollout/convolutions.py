"""Convolutions with P weight vectors at once."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from torchpolicy.rollout.own import Forward, Shared, is_hooked, of_members


def convolution(layer: nn.Conv2d, weights: dict[int, Tensor], population: int) -> Forward:
    """One convolution in P groups, each with the kernels of its member."""
    kernels = of_members(layer.weight, weights, population).flatten(0, 1)  # (P out, in, height, width)
    bias = None if layer.bias is None else of_members(layer.bias, weights, population).flatten()
    stride, padding, dilation = layer.stride, layer.padding, layer.dilation

    def forward(inputs: Tensor) -> Tensor:
        images = inputs.transpose(0, 1).flatten(1, 2)  # (N, P in, height, width)
        outputs = conv2d(images, kernels, bias, stride, padding, dilation, population)
        return outputs.view(len(outputs), population, -1, *outputs.shape[2:]).transpose(0, 1)

    return forward


def shared_convolution(layer: nn.Conv2d, matrix: Shared, weights: dict[int, Tensor]) -> Forward:
    """One convolution for all members, and a thin one for each."""
    size, rank = len(matrix.left), matrix.left.shape[2]
    bias = matrix.left.new_zeros(size, layer.out_channels)
    if layer.bias is not None:
        bias = of_members(layer.bias, weights, size)
    bias = bias.unsqueeze(2)  # (P, out, 1)
    stride, padding, dilation = layer.stride, layer.padding, layer.dilation

    def forward(inputs: Tensor) -> Tensor:
        count = inputs.shape[1]
        outputs = conv2d(inputs.flatten(0, 1), matrix.weight, None, stride, padding, dilation)
        right = matrix.right.transpose(1, 2).reshape(size * rank, *layer.weight.shape[1:])
        images = inputs.transpose(0, 1).flatten(1, 2)  # (N, P in, height, width)
        thin = conv2d(images, right, None, stride, padding, dilation, size)  # (N, P r, height, width)
        thin = thin.view(count, size, rank, -1).permute(1, 2, 0, 3).flatten(2)  # (P, r, N height width)
        own = torch.baddbmm(bias, matrix.left, thin)  # (P, out, N height width)
        own = own.view(size, -1, count, *outputs.shape[2:]).transpose(1, 2)
        return outputs.view(own.shape) + own

    return forward


def is_convolution(layer: nn.Module) -> bool:
    """Whether a layer takes the direct path of convolutions."""
    if not isinstance(layer, nn.Conv2d) or type(layer) is not nn.Conv2d or is_hooked(layer):
        return False
    return layer.groups == 1 and layer.padding_mode == "zeros"
