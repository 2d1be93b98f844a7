"""A policy tried out before training: can it be played with many weights at once and saved; is it a pure function?

Results do not depend on the number of processes, and a resumed run ends in the same bits, because an episode is a pure
function of its seed and the weights. A module that remembers, draws random numbers or reads a clock would break that
without a word.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchpolicy.base.errors import CodeError
from torchpolicy.base.generators import watching_generators
from torchpolicy.base.processes import one_thread
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, in_a_line, memory_needed
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.spaces import space_to_json
from torchpolicy.policies.parts.state import (
    ON_WEIGHTS,
    StateError,
    check_state,
    first_state,
    is_recurrent,
    same_numbers,
)
from torchpolicy.rollout.fingerprint import differences, fingerprint
from torchpolicy.rollout.members import population_forward
from torchpolicy.vectors.params import ParamVector

TOGETHER = 3
"""Observations in a batch, and members of a population, that a module is tried with after 1 and 2."""

TOLERANCE = 1e-3
"""Difference of outputs, relative to the largest, up to which it counts as rounding."""

KNOWN = ("torch.nn.modules.", "torchpolicy.")
"""Beginnings of the names of Python modules whose torch modules are known to be pure functions in eval mode."""


@torch.no_grad()
def check_policy(policy: Policy, first: Array | None) -> None:
    """Find out before anything is started whether the engine can play this policy and the run can save it.

    Args:
        policy: The policy.
        first: (*O), an observation that it will get; None if none is at hand.

    Raises:
        ValueError: If one of them cannot, or if the policy's network is no pure function.
    """
    kind = type(policy.net).__name__
    for method in ("forward", "encode", "act"):
        if getattr(type(policy), method) is not getattr(Policy, method):
            raise ValueError(
                f"{type(policy).__name__} overrides {method}, which a run does not call: put it into the net"
            )
    for space in (policy.observation_space, policy.action_space):
        space_to_json(space)
    try:
        json.dumps(policy.settings)
    except TypeError as error:
        raise ValueError(f"policy_args cannot be saved: {error}") from error
    for name, value in policy.state_dict().items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{kind} keeps {name}, which is no tensor and cannot be saved")
    vector = ParamVector(policy.net)
    _check_first_state(policy.net, vector)
    modes = {module: module.training for module in policy.net.modules()}
    policy.net.eval()
    try:
        with one_thread(), watching_generators():
            inputs = torch.zeros(policy.encoder.input_shape, dtype=policy.dtype, device=policy.device)
            if first is not None:
                inputs = policy.encode(torch.from_numpy(np.asarray(first)).to(policy.device))
            own = not all(_is_known(module) for module in modes)
            alone = _check_alone(policy, inputs) if own else None
            output = _check_together(policy, vector, inputs, alone)
    finally:
        for module, training in modes.items():
            module.training = training
    if not output.isfinite().all():
        raise ValueError(f"{kind} turns the first observation into an output that is not finite: {output.flatten()}")


def _check_alone(policy: Policy, inputs: Tensor) -> Tensor:
    """Call the network several times as it is; return its output (1, output_size) for one observation."""
    net, kind = policy.net, type(policy.net).__name__
    function = _from_the_start(net, net)
    other = _other(inputs)
    weights = ParamVector(net).read()
    batch = inputs.unsqueeze(0)
    given = batch.clone()

    def call(inputs: Tensor) -> Tensor:
        with _saying(f"{kind} failed on inputs of shape {tuple(inputs.shape)}"):
            output = function(inputs)
        return output.clone()

    with watching_generators() as moved:
        first = call(batch)
    if moved:
        raise ValueError(
            f"{kind} draws from, or sets, {' and '.join(moved)} global random generator in forward: the same "
            "observation would not always lead to the same output. Noise is the policy's head's, dropout nn.Dropout's"
        )
    if not torch.equal(batch, given):
        raise ValueError(f"{kind} changes its input in place, which others still need: let it work on a copy")
    before = fingerprint(net)
    call(other.unsqueeze(0))
    again = call(batch)
    _check_state(kind, differences(before, fingerprint(net)))
    if not torch.equal(ParamVector(net).read(), weights):
        raise ValueError(f"{kind} changes its own weights in forward: a search could not tell what it has scored")
    if any(module.training for module in net.modules()):
        raise ValueError(f"{kind} switches to training mode in forward; episodes are played in eval mode")
    if not _equal(first, again):
        raise ValueError(
            f"{kind} gives another output for the same observation the second time: something in it remembers, draws "
            "random numbers or reads a clock. The output has to follow from weights and observation alone"
        )
    together = call(torch.stack([inputs, *[other] * (TOGETHER - 1)]))
    if len(together) != TOGETHER or not _close(together[:1], first):
        raise ValueError(
            f"{kind} gives another output for an observation in a batch of {TOGETHER} than alone: each output has to "
            "follow from its own observation"
        )
    return first


def _check_together(policy: Policy, vector: ParamVector, inputs: Tensor, alone: Tensor | None) -> Tensor:
    """Call the network with many weights at once, as the engine does; return its outputs (P, 1, output_size).

    Args:
        policy: The policy.
        vector: The parameters of its network.
        inputs: (*input_shape), one input of the network.
        alone: (1, output_size), the output that :func:`_check_alone` returned; None to compare nothing.
    """
    kind = type(policy.net).__name__
    reason = f"{kind} cannot be evaluated for many weights at once (torch.func.vmap)"
    advice = ""
    if any(isinstance(part, nn.RNNBase | nn.RNNCellBase) for part in policy.net.modules()):
        advice = ". torchpolicy.RNNCell, GRUCell and LSTMCell compute what torch's do, and can be"
    if policy.device.type != "cpu":
        advice = " (on a device, tensors of a module that are no parameters should be its buffers)"

    def call(members: int, inputs: Tensor) -> Tensor:
        with _saying(reason, advice):
            forward = population_forward(policy.net, vector, vector.read().repeat(members, 1))
            function = _from_the_start(policy.net, forward)
            return function(inputs.expand(members, 1, *inputs.shape).contiguous()).clone()

    output = call(2, inputs)
    if alone is None:
        return output
    before = fingerprint(policy.net)
    call(2, _other(inputs))
    again = call(2, inputs)
    _check_state(kind, differences(before, fingerprint(policy.net)))
    if not _equal(output, again):
        raise ValueError(f"{kind} gives another output for the same observation the second time (torch.func.vmap)")
    if not (_close(output[0], alone) and _close(call(TOGETHER, inputs)[0], alone)):
        raise ValueError(
            f"{kind} gives another output when it is evaluated for many weights at once (torch.func.vmap) than by "
            "itself: does it look at the size of its batch, or keep tensors from call to call?"
        )
    return output


def _check_first_state(net: nn.Module, vector: ParamVector) -> None:
    """Refuse a module whose state at the beginning of an episode depends on its weights."""
    if not is_recurrent(net):
        return
    weights, first = vector.read(), first_state(net)
    vector.write(weights + 1)
    try:
        other = first_state(net)
    finally:
        vector.write(weights)
    if not same_numbers(first, other):
        raise ValueError(f"{type(net).__name__}.initial_state() {ON_WEIGHTS}")


def _from_the_start(net: nn.Module, forward: Callable[..., Any]) -> Callable[[Tensor], Tensor]:
    """A network's forward, or that of several, as a function of inputs alone.

    The outputs of a recurrent network are those of its first two steps, side by side.

    Args:
        net: The network.
        forward: The network itself, for inputs (N, *input_shape); or what :func:`population_forward` has made of it.
    """
    if not is_recurrent(net):
        return forward
    kind, batch_dimensions = type(net).__name__, 1 if forward is net else 2

    def function(inputs: Tensor) -> Tensor:
        state, given = (first_state(net, *inputs.shape[:batch_dimensions]) for _ in range(2))
        first, after = forward(inputs, given)
        if not same_numbers(state, given):
            raise StateError(f"{kind} changes its state in place, which others still need: let it return a new one")
        check_state(kind, state, after)
        return torch.cat([first, forward(inputs, after)[0]], -1)

    return function


def _check_state(kind: str, changed: list[str]) -> None:
    """Refuse a module that changed something it holds while it was called."""
    if changed:
        raise ValueError(
            f"{kind} keeps state between calls: forward changes {', '.join(map(repr, changed[:3]))}. An episode would "
            "depend on those before it; let the output follow from weights and observation alone (what lies some steps "
            "back can be shown to it: gymnasium.wrappers.FrameStackObservation)"
        )


def _is_known(module: nn.Module) -> bool:
    """Whether a module is known to be a pure function in eval mode."""
    return type(module).__module__.startswith(KNOWN) and not (module._forward_hooks or module._forward_pre_hooks)


class _saying:  # noqa: N801
    """A context around a forward that turns whatever it raises into one line, with its place."""

    def __init__(self, place: str, advice: str = "") -> None:
        self._place, self._advice = place, advice

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (*STOPS, StateError)) or memory_needed(error) is not None:
            return
        text = in_a_line(error)
        if "randomness" in text:
            raise CodeError(f"{self._place}: it draws random numbers in forward (functional dropout?)") from error
        raise CodeError(f"{self._place}: {text}{self._advice}") from error


def _other(inputs: Tensor) -> Tensor:
    """An input that differs from the first, made of numbers like those in it."""
    flat = inputs.flatten()
    return flat.flip(0).reshape(inputs.shape) + (0 if (flat != flat[:1]).any() else 1)


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether outputs have the same bits, or on a GPU, where sums are added up in any order, whether they are close."""
    if one.device.type != "cpu":
        return _close(one, other)
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _close(one: Tensor, other: Tensor) -> bool:
    """Whether outputs differ only by rounding."""
    if one.shape != other.shape:
        return False
    scale = float(other.abs().nan_to_num(0, 0, 0).max())
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)
