"""The linear policy: pi(a|s) is the softmax over a of theta . x(s, a)."""

from math import inf, prod
from typing import Any

import torch
from gymnasium import Space
from gymnasium.spaces import Discrete
from torch import nn

from torchpolicy.base.checks import check_range
from torchpolicy.policies.base import Policy, policy_generator
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.features import Fourier, Polynomial
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.layers import seeded_linear


class LinearPolicy(Policy):
    """One linear layer: a linear softmax for discrete actions, a linear controller for a Box.

    Each action a has its own block of theta, and theta . x(s, a) is that block times the features of the state s. The
    features are the observation with a constant 1 for the bias, or the one-hot vector of a discrete observation, or
    what `features` computes from them.

    Args:
        observation_space: The environment's observation space, any that :class:`Policy` takes.
        action_space: The environment's action space, any that :class:`Policy` takes.
        features: ``"polynomial"`` or ``"fourier"`` (:mod:`torchpolicy.policies.parts.features`), or a module that maps
            (N, *input_shape) to (N, F) and stands before the layer; its trainable parameters are searched too.
        degree: The largest number of inputs in one product, for polynomial features.
        waves: Number of Fourier features.
        bandwidth: Distance beyond which two observations count as different, for Fourier features.
        bias: Whether the layer has a bias. None means yes, unless the observation is Discrete and there are no
            `features`: its one-hot vector has a weight for every state and action already.
        initial_scale: Factor by which the initial weights of ``nn.Linear`` are multiplied; 0 starts from zero.
        seed: Seed of the initial weights and the Fourier features.
    """

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        features: str | nn.Module | None = None,
        *,
        degree: int = 2,
        waves: int = 100,
        bandwidth: float = 1.0,
        bias: bool | None = None,
        initial_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        if bias is None:
            bias = features is not None or not isinstance(observation_space, Discrete)
        check_range("initial_scale", initial_scale, 0, inf)
        generator = policy_generator(seed)
        shape, outputs = make_encoder(observation_space).input_shape, make_head(action_space).input_size
        layers: list[nn.Module] = []
        if isinstance(features, nn.Module):
            layers.append(features)
            shape = _shape_of(features, shape)
        if len(shape) != 1:
            layers.append(nn.Flatten())
        size = prod(shape)
        if features == "polynomial":
            polynomial = Polynomial(size, degree)
            layers, size = [*layers, polynomial], polynomial.size
        elif features == "fourier":
            fourier = Fourier(size, waves, bandwidth, generator)
            layers, size = [*layers, fourier], fourier.size
        elif not isinstance(features, nn.Module | None):
            raise ValueError(f"features must be 'polynomial', 'fourier', a module or None, got {features!r}")
        layer = seeded_linear(size, outputs, bias, generator)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(initial_scale)
        super().__init__(nn.Sequential(*layers, layer) if layers else layer, observation_space, action_space)
        if type(self) is LinearPolicy and not isinstance(features, nn.Module):
            options: dict[str, Any] = {"bias": bias}
            if initial_scale != 1:
                options["initial_scale"] = initial_scale
            if features is not None:
                options["features"] = features
            if features == "polynomial":
                options["degree"] = degree
            if features == "fourier":
                options |= {"waves": waves, "bandwidth": bandwidth}
            self.settings = {"policy": "linear", "policy_args": options}


@torch.no_grad()
def _shape_of(features: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the features that a module computes from one observation of a shape."""
    modes = {module: module.training for module in features.modules()}
    try:
        return tuple(features.eval()(torch.zeros(1, *shape)).shape[1:])
    except Exception as error:
        raise ValueError(f"features do not take a batch of observations of shape {shape}: {error}") from error
    finally:
        for module, training in modes.items():
            module.training = training
