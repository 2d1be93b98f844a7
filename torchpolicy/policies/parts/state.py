"""The state of a recurrent module: what it remembers from one step of an episode to the next."""

from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from torchpolicy.base.errors import CodeError
from torchpolicy.base.user_code import STOPS, in_a_line

State = Any
"""A tensor, or a tuple, list or dictionary of tensors. Their first dimensions are those of the batch."""


ON_WEIGHTS = (
    "depends on weights, which differ from candidate to candidate: let it return constants, and forward add what is to "
    "be trained in the first step"
)


class StateError(ValueError):
    """A state that is not as it was at first."""


def is_recurrent(module: nn.Module) -> bool:
    """True for a module with ``initial_state()``, whose ``forward(inputs, state)`` returns (outputs, state)."""
    return callable(getattr(module, "initial_state", None))


def first_state(module: nn.Module, *batch: int) -> State:
    """The state (*batch, …) with which an episode begins, for each of a batch, on the device of the module.

    Raises:
        ValueError: If ``initial_state()`` does not return finite tensors that no weight has a part in.
        CodeError: If it fails.
    """
    kind = type(module).__name__
    try:
        state = module.initial_state()  # type: ignore[operator]
    except STOPS:
        raise
    except BaseException as error:
        raise CodeError(f"{kind}.initial_state() failed: {in_a_line(error)}") from error
    leaves, _ = tree_flatten(state)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ValueError(
            f"{kind}.initial_state() should return a tensor, or a tuple or dictionary of tensors, got {state!r}"
        )
    if any(leaf.requires_grad for leaf in leaves):
        raise ValueError(f"{kind}.initial_state() {ON_WEIGHTS}")
    if not all(leaf.isfinite().all() for leaf in leaves):
        raise ValueError(f"{kind}.initial_state() is not finite: {state!r}")
    device = next((parameter.device for parameter in module.parameters()), None)
    return tree_map(lambda leaf: leaf.to(device).expand(*batch, *leaf.shape).clone(), state)


def check_state(kind: str, before: State, after: State, *, finite: bool = True) -> None:
    """See that a step has kept the form of the state.

    Args:
        kind: Name of the module's class.
        before: A state that ``forward`` was given.
        after: The state that it returned.
        finite: Whether its numbers should be finite.

    Raises:
        StateError: If the structure, a shape or a dtype is another, or a number is not finite.
    """
    (old, structure), (new, other) = tree_flatten(before), tree_flatten(after)
    if structure != other or not all(isinstance(leaf, Tensor) for leaf in new):
        raise StateError(
            f"{kind} returns a state of another structure than that of initial_state(), or with its keys in another "
            f"order: {after!r}"
        )
    for one, two in zip(old, new, strict=True):
        if (one.shape, one.dtype) != (two.shape, two.dtype):
            raise StateError(
                f"{kind} turns a state of shape {tuple(one.shape)} and {one.dtype} into one of shape "
                f"{tuple(two.shape)} and {two.dtype}"
            )
        if finite and not two.isfinite().all():
            raise StateError(f"{kind} turns the first observation into a state that is not finite")


def check_given(kind: str, first: State, given: State) -> None:
    """See that a state has the form of the first one.

    Raises:
        ValueError: If it has not.
    """
    try:
        check_state(kind, first, given, finite=False)
    except StateError:
        shapes = [tuple(leaf.shape) for leaf in tree_flatten(first)[0]]
        raise ValueError(f"expected a state of {kind} with tensors of shapes {shapes}, got {given!r}") from None


def same_numbers(one: State, other: State) -> bool:
    """True if two states of one form hold the same numbers."""
    pairs = zip(tree_flatten(one)[0], tree_flatten(other)[0], strict=True)
    return all((first == second).all() for first, second in pairs)


def detached(state: State) -> State:
    """The same numbers, through which no gradient flows back."""
    return tree_map(Tensor.detach, state)
