"""Going up a gradient with an optimiser of torch."""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchpolicy.checks import check_range
from torchpolicy.clipup import ClipUp

OptimizerFactory = Callable[..., Optimizer]

KNOWN: dict[str, OptimizerFactory] = {
    name.lower(): value
    for name, value in {**vars(torch.optim), "ClipUp": ClipUp}.items()
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}


class Ascent:
    """Moves vectors (D,) along gradients by any ``torch.optim`` optimiser, whose state it keeps.

    Args:
        optimizer: A name (``"adam"``, ``"sgd"``, ``"clipup"``, …: the classes of ``torch.optim`` and
            :class:`ClipUp`), or a callable from (parameters, lr=) to an optimiser, such as
            ``partial(torch.optim.SGD, momentum=0.9)``.
        like: (D,), a vector of the kind that it will move.
        learning_rate: The first.

    Raises:
        ValueError: If the optimiser is unknown, or needs more than a gradient.
    """

    def __init__(self, optimizer: str | OptimizerFactory, like: Tensor, learning_rate: float) -> None:
        check_range("learning_rate", learning_rate, 0, inf, open_low=True)
        make = KNOWN.get(optimizer.lower()) if isinstance(optimizer, str) else optimizer
        if not callable(make):
            raise ValueError(
                f"optimizer must be one of {', '.join(sorted(KNOWN))}, or a callable from (parameters, lr=) to an "
                f"optimiser, got {optimizer!r}"
            )
        self._make = make
        try:
            self._trial(torch.zeros(2), learning_rate)
        except Exception as error:
            raise ValueError(f"optimizer {optimizer!r} cannot be used here: {error}") from error
        self._parameter = torch.zeros_like(like)
        self._optimizer = make([self._parameter], lr=learning_rate)

    def step(self, vector: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
        """`vector` (D,) after one step up `gradient` (D,)."""
        self._parameter.copy_(vector)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        _step(self._optimizer, self._parameter, -gradient)
        return self._parameter.clone()

    def state_dict(self) -> dict[str, Any]:
        """What the optimiser remembers, as tensors and plain values."""
        return {name: _copy(value) for name, value in self._optimizer.state.get(self._parameter, {}).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it is of another dimension, or damaged.
        """
        expected = self._trial(self._parameter, 1.0) if state else {}
        if state.keys() != expected.keys():
            raise ValueError(f"not the state of this optimizer: it has {sorted(state)}, not {sorted(expected)}")
        for name, value in expected.items():
            if _kind(state[name]) != _kind(value):
                raise ValueError(f"optimizer's {name} should be {_kind(value)}, got {_kind(state[name])}")
            if isinstance(value, Tensor) and not state[name].isfinite().all():
                raise ValueError(f"optimizer's {name} should be finite")
        self._optimizer.state.clear()
        if state:
            self._optimizer.state[self._parameter] = {
                name: value.to(expected[name], copy=True) if isinstance(value, Tensor) else value
                for name, value in state.items()
            }

    def _trial(self, like: Tensor, learning_rate: float) -> dict[str, Any]:
        """The state of a new optimiser after one step on a vector like this."""
        parameter = torch.zeros_like(like)
        optimizer = self._make([parameter], lr=learning_rate)
        _step(optimizer, parameter, torch.ones_like(like))
        return dict(optimizer.state[parameter])


def _kind(value: Any) -> str:
    """What a saved value has to agree in."""
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _step(optimizer: Optimizer, parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient
    optimizer.step()
    parameter.grad = None


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
