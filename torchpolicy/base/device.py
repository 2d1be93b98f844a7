"""Where networks compute: the processor, or a GPU beside it."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

KINDS = ("cpu", "cuda")

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
"""The environment variable, and its value, with which products on a GPU of NVIDIA's have the same bits every time."""

HARMLESS = ("cumsum_cuda_kernel does not have", "TensorFloat32 tensor cores", ".*CUBLAS_WORKSPACE_CONFIG")
"""Warnings of torch's: sums of a row are equal every time, products are not to be rounded, the workspace is set."""


def find_device(name: str) -> torch.device:
    """The device called `name`: ``cpu``, ``cuda`` or ``cuda:1``.

    Of several GPUs, ``cuda`` alone is the first, or with ``torchrun`` one for each process in turn. A first, small
    product is computed on a GPU: for those that follow in this process, cuBLAS keeps the workspace that it takes then.

    Raises:
        ValueError: If there is none of that name here.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in KINDS:
        raise ValueError(f"device must be cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cpu":
        return torch.device("cpu")
    found = torch.get_device_module(device)
    count = found.device_count() if found.is_available() else 0
    index = int(os.environ.get("LOCAL_RANK", 0)) % max(1, count) if device.index is None else device.index
    if index >= count:
        raise ValueError(f"device {name!r} is not here: torch {torch.__version__} finds {count} of its kind")
    device = torch.device(device.type, index)
    with _workspace_for_equal_bits():
        one = torch.ones(1, 1, device=device)
        torch.mm(one, one)
    return device


@contextmanager
def _workspace_for_equal_bits() -> Iterator[None]:
    """Set :data:`WORKSPACE` in the environment while it lasts, unless the user has set that variable."""
    name, value = WORKSPACE
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def memory_of(device: torch.device) -> int:
    """Bytes that a GPU has."""
    return int(torch.get_device_module(device).get_device_properties(device).total_memory)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """On a GPU, let torch take what gives the same bits every time, and warn where it has nothing of the kind."""
    if device.type == "cpu":  # always so, with one thread
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    filling, precision = memory.fill_uninitialized_memory, convolutions.fp32_precision
    torch.use_deterministic_algorithms(True, warn_only=before[1] if before[0] else True)
    memory.fill_uninitialized_memory = False  # or every new tensor costs a kernel more
    convolutions.fp32_precision = "ieee"
    try:
        with warnings.catch_warnings(), _workspace_for_equal_bits():
            for harmless in HARMLESS:
                warnings.filterwarnings("ignore", message=harmless)
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory, convolutions.fp32_precision = filling, precision


@contextmanager
def by_place(device: torch.device) -> Iterator[None]:
    """Around copies by indices that occur once: they give the same bits anyway, and are slow if told to."""
    if device.type == "cpu" or not torch.are_deterministic_algorithms_enabled():
        yield
        return
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(True, warn_only=warn_only)


class Ferry:
    """A function that computes on a GPU, for inputs on the CPU: in and out by way of pinned memory.

    Args:
        function: From a tensor to a tensor there; both of the same shape at each call.
        device: There.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._function, self._device = function, device
        self._in = self._out = torch.empty(0)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs for `inputs`, both on the CPU; they are overwritten by the next call."""
        if self._in.shape != inputs.shape:
            self._in = torch.empty_like(inputs, pin_memory=True)
        self._in.copy_(inputs)
        outputs = self._function(self._in.to(self._device, non_blocking=True))
        if self._out.shape != outputs.shape:
            self._out = torch.empty(outputs.shape, dtype=outputs.dtype, pin_memory=True)
        self._out.copy_(outputs, non_blocking=True)
        torch.accelerator.synchronize(self._device)
        return self._out
