"""Modules that misbehave, each in one way; all of them between 3 numbers and 4 logits."""

import itertools
import random
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils.parametrizations import spectral_norm


def linear(inputs: int = 3, outputs: int = 4) -> nn.Linear:
    """A layer with weights of its own seed."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view(parameter.shape))
    return layer


class Plain(nn.Module):
    """Nothing is wrong with it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = linear()

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


def having(forward: Callable[..., Any], **attributes: Callable[[], Any]) -> type[Plain]:
    """A module with attributes of its own, made anew for each object, and a forward (self, x)."""

    def init(self: Plain) -> None:
        Plain.__init__(self)
        for name, make in attributes.items():
            setattr(self, name, make())

    return type("Misbehaving", (Plain,), {"__init__": init, "forward": forward})


def remembering(change: Callable[..., Any], **attributes: Callable[[], Any]) -> type[Plain]:
    """One that changes something and computes what it should."""

    def forward(self: Any, x: Tensor) -> Tensor:
        change(self, x)
        return self.layer(x)

    return having(forward, **attributes)


def adding(number: Callable[[Any], Any], **attributes: Callable[[], Any]) -> type[Plain]:
    """One whose output has something added to it."""
    return having(lambda self, x: self.layer(x) + number(self), **attributes)


def count(self: Any, x: Tensor) -> None:
    self.calls += 1


def cache_by_value(self: Any, x: Tensor) -> None:
    self.cache[len(self.cache)] = x.shape


def average(self: Any, x: Tensor) -> None:
    self.mean = 0.9 * self.mean + 1


def count_inside(self: Any, x: Tensor) -> None:
    self.inner.calls += 1


def count_array(self: Any, x: Tensor) -> None:
    self.seen[0] += 1


def shrink(self: Any, x: Tensor) -> None:
    self.layer.weight.mul_(0.5)


def to_training(self: Any, x: Tensor) -> None:
    self.train()


class CountsAll(Plain):
    """Counts the calls of all its objects."""

    calls: ClassVar[int] = 0

    def forward(self, x: Tensor) -> Any:
        CountsAll.calls += 1
        return super().forward(x)


class Writes(Plain):
    """Writes its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Any:
        self.seen += 1
        return super().forward(x)


class Remembers(Plain):
    """Hands the state of a recurrent cell from call to call."""

    def __init__(self, *, by_size: bool) -> None:
        super().__init__()
        self.cell, self.by_size, self.state = nn.GRUCell(3, 3), by_size, None

    def forward(self, x: Tensor) -> Any:
        state: Any = self.state
        if self.by_size and state is not None and len(state) != len(x):
            state = None
        self.state = self.cell(x, state)
        return self.layer(self.state)


class Recurs(Plain):
    """Begins afresh in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 3)
        with torch.no_grad():
            for parameter in self.cell.parameters():
                parameter.fill_(0.1)

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.cell(x, torch.zeros_like(x)))


class Stateful(Plain):
    """Adds a state to what it sees; the next state is what `change` makes of it."""

    def __init__(self, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self._change = change

    def initial_state(self) -> Tensor:
        return torch.zeros(3)

    def forward(self, x: Tensor, state: Tensor) -> Any:  # type: ignore[override]
        seen = x + state
        return self.layer(seen), self._change(seen)


class Saves(Plain):
    """Saves what is no tensor."""

    def get_extra_state(self) -> Any:
        return {"since": 2026}

    def set_extra_state(self, state: Any) -> None:
        pass


class Lazy(nn.Module):
    """Has weights that are not there yet."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(4)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x)


class Tied(nn.Module):
    """Has a layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = linear(3, 3)
        self.layers = nn.Sequential(self.inner, nn.Tanh(), self.inner, linear())

    def forward(self, x: Tensor) -> Any:
        return self.layers(x)


def cached(self: Any, x: Tensor) -> Tensor:
    if self.scale is None:
        self.scale = torch.ones(3)
    return self.layer(x * self.scale)


def cached_by_size(self: Any, x: Tensor) -> Tensor:
    if len(x) not in self.scales:
        self.scales[len(x)] = torch.ones(3)
    return self.layer(x * self.scales[len(x)])


def keeps_last(self: Any, x: Tensor) -> Tensor:
    self.last = self.layer(x)
    return self.last


def frozen() -> nn.Module:
    return nn.Sequential(linear(3, 3).requires_grad_(False), linear())


def hooked(noise: Callable[[], Any]) -> nn.Module:
    net = nn.Sequential(linear())
    net[0].register_forward_hook(lambda layer, inputs, output: output + noise())
    return net


def normed() -> nn.Module:
    return nn.Sequential(spectral_norm(linear(3, 3)), linear())


CALLS = itertools.count()
"""Calls of :func:`late`, where no look at the module finds them."""


def late(deed: Callable[[], Any], after: int) -> type[Plain]:
    """One that does something once it has been called often."""
    calls = itertools.count()

    def forward(self: Any, x: Tensor) -> Tensor:
        if next(calls) >= after:
            deed()
        return self.layer(x)

    return having(forward)


def raises(error: Callable[[], BaseException]) -> Callable[..., Any]:
    """A function that raises, whatever it is called with."""

    def fail(*_: Any) -> Any:
        raise error()

    return fail


NOISE: dict[str, Callable[[Any], Any]] = {
    "Python's": lambda self: random.random(),
    "NumPy's": lambda self: float(np.random.rand()),
    "torch's": lambda self: torch.rand(()),
}
"""Numbers from the global generators."""

OWN_NOISE = {
    "torch": adding(lambda self: torch.rand((), generator=self.own), own=lambda: torch.Generator().manual_seed(0)),
    "Python": adding(lambda self: self.own.random(), own=lambda: random.Random(0)),
    "NumPy": adding(lambda self: float(self.own.random()), own=lambda: np.random.default_rng(0)),
}


def clock(self: Any) -> float:
    return time.perf_counter() % 1


def scales_by_size(self: Any, x: Tensor) -> Tensor:
    return self.layer(x) * len(x)


def looks(self: Any, x: Tensor) -> Tensor:
    return self.layer(x) if x.sum().item() > 0 else -self.layer(x)


def in_place(self: Any, x: Tensor) -> Tensor:
    return self.layer(x.mul_(2))


def left_on(self: Any, x: Tensor) -> Tensor:
    return self.layer(dropout(x, 0.5, training=True))


def counter() -> Any:
    return SimpleNamespace(calls=0)


class Outer(Plain):
    """What it adds counts the calls, in a closure."""

    def __init__(self) -> None:
        super().__init__()
        calls = itertools.count()
        self.shift = lambda: next(calls)

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + self.shift()
