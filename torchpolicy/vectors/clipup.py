"""ClipUp, the one optimizer here that torch lacks.

Toklu, Liskowski & Srivastava (2020), "ClipUp: a simple and powerful optimizer for distribution-based
policy evolution".
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchpolicy.base.checks import check_range


class ClipUp(Optimizer):
    """Momentum on the direction of the gradient alone, with a limit to the speed.

    With v the velocity and x all parameters of a group as one vector:

        v <- momentum v + lr g / |g|,   shortened to max_speed if it is longer
        x <- x - v

    A gradient of zero leaves only the momentum.

    Args:
        params: The parameters to move, or groups of them, as any optimizer of torch takes them.
        lr: Step size, in the units of the parameters.
        momentum: Share of the velocity that is kept.
        max_speed: Length of the longest step. None: 2 lr, as in the paper.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, max_speed: float | None = None
    ) -> None:
        check_range("lr", lr, 0, inf, open_low=True)
        check_range("momentum", momentum, 0, 1)
        if max_speed is not None:
            check_range("max_speed", max_speed, 0, inf, open_low=True)
        super().__init__(params, {"lr": lr, "momentum": momentum, "max_speed": max_speed})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step down the gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        velocities = []
        length = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["velocity"] = torch.zeros_like(parameter)
            velocities.append(state["velocity"].mul_(group["momentum"]))
            if length > 0:
                velocities[-1].add_(parameter.grad / length, alpha=group["lr"])
        speed = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(v) for v in velocities]))
        limit = 2 * group["lr"] if group["max_speed"] is None else group["max_speed"]
        for parameter, velocity in zip(parameters, velocities, strict=True):
            if speed > limit:
                velocity.mul_(limit / speed)
            parameter.sub_(velocity)
