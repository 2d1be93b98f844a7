"""What each of P members has for the parameters of a layer."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]


@dataclass
class Shared:
    """One matrix for all members, to which each adds factors of its own: weight + left @ right^T."""

    weight: Tensor  # (out, in)
    left: Tensor  # (P, out, r)
    right: Tensor  # (P, in, r)


def of_members(parameter: Tensor, weights: dict[int, Tensor], population: int) -> Tensor:
    """What each member has for a parameter, (P, *shape); the same where it is frozen."""
    return weights.get(id(parameter), parameter.detach().expand(population, *parameter.shape))


def is_hooked(module: nn.Module) -> bool:
    """Whether calling a module does more than its class says."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
