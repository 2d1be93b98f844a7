"""Observations to choices: the one place where encoder, normaliser, network and head follow one another."""

from collections.abc import Callable

import torch
from torch import Tensor

from torchpolicy.policies.parts.encoders import Encoder
from torchpolicy.policies.parts.heads import Head
from torchpolicy.policies.parts.normalizer import Normalization, Normalizer

Function = Callable[[Tensor], Tensor]
Normalize = Normalizer | Normalization


class Pipeline:
    """What a policy does with N observations, whoever computes the network and whatever normalises its inputs.

    A policy has its own network in it, a rollout another network for each row, an exported program a normaliser
    that no longer learns.

    Args:
        encoder: Turns observations (N, *O) into inputs (N, *input_shape).
        network: Turns inputs (N, *input_shape) into outputs (N, head.input_size).
        head: Turns outputs into choices, and choices into actions.
        dtype: The dtype of the network's parameters, and so of its inputs.
    """

    def __init__(self, encoder: Encoder, network: Function, head: Head, dtype: torch.dtype) -> None:
        self.network, self.head, self.dtype = network, head, dtype
        self._encode: Function = encoder.forward
        self._takes_floats = encoder.observation_dtype is None

    def encode(self, observations: Tensor) -> Tensor:
        """Inputs (*B, *input_shape), not yet normalised, for observations (*B, *O)."""
        if self._takes_floats:
            observations = observations.to(self.dtype)
        return self._encode(observations).to(self.dtype)

    def output(self, inputs: Tensor, normalize: Normalize | None) -> Tensor:
        """The network's outputs (N, head.input_size) for inputs (N, *input_shape), normalised first if asked."""
        return self.network(inputs if normalize is None else normalize(inputs))

    def choose(self, inputs: Tensor, normalize: Normalize | None, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Outputs (N, head.input_size) and choices (N, *choice_shape), greedy, or sampled with (N, noise_size)."""
        output = self.output(inputs, normalize)
        return output, self.head.choose(output, noise)
