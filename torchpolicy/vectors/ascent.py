"""Climbing a gradient with any optimizer of torch."""

from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isclose, isfinite, nan, sqrt
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchpolicy.base.checks import check_range
from torchpolicy.vectors.clipup import ClipUp

OptimizerFactory = Callable[..., Optimizer]

FIRST_STEP, SCALED_FIRST_STEP = 0.2, 0.05
"""Length of the first step that a default learning rate gives, in units of the length of the noise around the center:
for an optimizer whose steps do not depend on the gradient's length, and for one whose steps grow with it, so that a
clear signal makes them longer."""

CLEAR_FIRST_STEP = 0.2
"""Limit of this length where the signal is clear, for an optimizer whose steps grow with the gradient."""

FIRST_STEPS = {"clipup": 1 / 30}
"""The same length for optimizers whose paper gives it: ClipUp's fastest step, twice its first one, is |std| / 15."""

KNOWN: dict[str, OptimizerFactory] = {
    name.lower(): value
    for name, value in {**vars(torch.optim), "ClipUp": ClipUp}.items()
    if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
}
"""Optimizers that can be named: the classes of torch.optim, and ClipUp."""


class Ascent:
    """Moves vectors (D,) along gradients by any ``torch.optim`` optimizer, whose state it keeps.

    Args:
        optimizer: The name of a class of ``torch.optim`` (``"adam"``, ``"sgd"``, …), ``"clipup"``, or a callable from
            (parameters, lr=) to an optimizer, such as ``partial(torch.optim.SGD, momentum=0.9)``.
        like: (D,), a vector of the dtype and on the device of those that will be moved.
        learning_rate: The first learning rate.
        arguments: Further keywords of the optimizer, such as ``{"betas": (0.9, 0.99)}``.

    Attributes:
        learning_rate: The first learning rate.

    Raises:
        ValueError: If the optimizer is unknown, or needs more than a gradient.
    """

    def __init__(
        self,
        optimizer: str | OptimizerFactory,
        like: Tensor,
        learning_rate: float,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        check_range("learning_rate", learning_rate, 0, inf, open_low=True)
        make = KNOWN.get(optimizer.lower()) if isinstance(optimizer, str) else optimizer
        if not callable(make):
            raise ValueError(
                f"optimizer must be one of {', '.join(sorted(KNOWN))}, or a callable from (parameters, lr=) to an "
                f"optimizer, got {optimizer!r}"
            )
        if not isinstance(arguments, Mapping | None):
            raise ValueError(f"optimizer_args must be a table of the optimizer's keywords, got {arguments!r}")
        if not {"lr", "maximize"}.isdisjoint(arguments or {}):
            raise ValueError("optimizer_args takes neither lr, which is learning_rate, nor maximize")
        make = self._make = partial(make, **arguments or {})
        try:
            self._trial(torch.ones(2), learning_rate)
        except Exception as error:
            given = f" with {dict(arguments)}" if arguments else ""
            raise ValueError(f"optimizer {optimizer!r}{given} cannot be used here: {error}") from error
        self._parameter = torch.zeros_like(like)
        self._optimizer = make([self._parameter], lr=learning_rate)
        self.learning_rate = learning_rate

    def step(self, vector: Tensor, gradient: Tensor, learning_rate: float) -> Tensor:
        """`vector` (D,) after one step up `gradient` (D,)."""
        self._parameter.copy_(vector)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        _step(self._optimizer, self._parameter, -gradient)
        return self._parameter.clone()

    def state_dict(self) -> dict[str, Any]:
        """What the optimizer remembers, as tensors and plain values."""
        return {name: _copy(value) for name, value in self._optimizer.state.get(self._parameter, {}).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If the state is of another dimension, or damaged.
        """
        expected = self._trial(torch.ones_like(self._parameter), 1.0)[1] if state else {}
        if state.keys() != expected.keys():
            raise ValueError(f"not the state of this optimizer: it has {sorted(state)}, not {sorted(expected)}")
        for name, value in expected.items():
            if _kind(state[name]) != _kind(value):
                raise ValueError(f"optimizer's {name} should be {_kind(value)}, got {_kind(state[name])}")
            if isinstance(value, Tensor) and not state[name].isfinite().all():
                raise ValueError(f"optimizer's {name} should be finite")
            if name == "step" and float(state[name]) < 0:
                raise ValueError(f"optimizer's {name} should be at least 0, got {float(state[name])}")
        self._optimizer.state.clear()
        if state:
            self._optimizer.state[self._parameter] = {
                name: value.to(expected[name], copy=True) if isinstance(value, Tensor) else value
                for name, value in state.items()
            }

    def _trial(self, gradient: Tensor, learning_rate: float) -> tuple[float, dict[str, Any]]:
        """Length of a new optimizer's first step from zero up a gradient (D,), and its state after that."""
        parameter = torch.zeros_like(gradient)
        optimizer = self._make([parameter], lr=learning_rate)
        _step(optimizer, parameter, -gradient)
        return float(torch.linalg.vector_norm(parameter)), dict(optimizer.state[parameter])

    @classmethod
    def with_default(
        cls,
        optimizer: str | OptimizerFactory,
        like: Tensor,
        learning_rate: float | None,
        arguments: Mapping[str, Any] | None = None,
        *,
        noise: float,
        chance: float | None,
        candidates: int,
    ) -> "Ascent":
        """An ascent whose learning rate is the optimizer's default where none is given.

        Learning rates of different optimizers are different things: Adam's is the step of each weight, that of SGD a
        factor of the gradient. So the default is the one whose first step is a certain share of `noise` long.

        Args:
            optimizer: The optimizer, as for the constructor.
            like: (D,), a vector of the kind that will be moved, as for the constructor.
            learning_rate: The first learning rate; None for the optimizer's default.
            arguments: Further keywords of the optimizer.
            noise: Length of the noise around the center, |std|.
            chance: Root mean square of the gradient's entries where scores tell nothing; None where nobody knows it,
                because the gradient has the units of the scores.
            candidates: Number of candidates that the gradient is estimated from.

        Raises:
            ValueError: If the learning rate is None and the optimizer has no default here.
        """
        if learning_rate is not None:
            return cls(optimizer, like, learning_rate, arguments)
        ascent = cls(optimizer, like, 1.0, arguments)
        gradient = torch.full_like(like, 1.0 if chance is None else chance)
        length, longer = (ascent._trial(factor * gradient, 1.0)[0] for factor in (1, 100))
        scaled = longer > 1.5 * length
        if scaled and chance is None:
            raise ValueError(
                f"learning_rate is needed: steps of {optimizer!r} have the length of the gradient, which is in the "
                "units of the scores here (or take baseline='standardized' or 'ranks', or another optimizer)"
            )
        clear = sqrt(1 + candidates / len(like))  # times as long as by chance is a gradient that scores wholly follow
        share = min(SCALED_FIRST_STEP, CLEAR_FIRST_STEP / clear)
        wanted = noise * (share if scaled else FIRST_STEPS.get(str(optimizer).lower(), FIRST_STEP))
        found = wanted / length if length > 0 else nan
        reached = ascent._trial(gradient, found)[0] if isfinite(found) else nan
        if not isclose(reached, wanted, rel_tol=0.5):
            raise ValueError(f"learning_rate is needed: {optimizer!r} has no default here")
        return cls(optimizer, like, found, arguments)


def is_clipup(optimizer: str | OptimizerFactory) -> bool:
    """True for ClipUp, given by name, as a class or as a partial of it."""
    if isinstance(optimizer, str):
        return optimizer.lower() == "clipup"
    return getattr(optimizer, "func", optimizer) is ClipUp


def _kind(value: Any) -> str:
    """What a saved value has to agree in with the one that it replaces, in words."""
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _step(optimizer: Optimizer, parameter: Tensor, gradient: Tensor) -> None:
    parameter.grad = gradient
    optimizer.step()
    parameter.grad = None


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value
