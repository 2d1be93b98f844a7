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
"""Environment variable of cuBLAS and its value: with it, a product on an NVIDIA GPU has the same bits every time."""

HARMLESS = ("cumsum_cuda_kernel does not have", "TensorFloat32 tensor cores", ".*CUBLAS_WORKSPACE_CONFIG")
"""Warnings of torch that do not concern us: our sums are over rows, products stay in float32, the workspace is set."""


def find_device(name: str) -> torch.device:
    """The device called `name`: ``cpu``, ``cuda`` or ``cuda:1``.

    If there are several GPUs, ``cuda`` means the first of them; under ``torchrun``, the processes take turns. One small
    product is computed on a GPU, because cuBLAS chooses its workspace at a process's first product and then keeps it.

    Raises:
        ValueError: If this machine has no such device.
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
    """Set the variable :data:`WORKSPACE` inside the block, unless the user has set it already."""
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
    """Bytes of memory on a GPU."""
    return int(torch.get_device_module(device).get_device_properties(device).total_memory)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Make torch compute with the same bits every time on a GPU, inside the block; it warns where it cannot.

    Torch's settings, warnings and the environment are as before afterwards. On the CPU nothing needs to be changed.
    """
    if device.type == "cpu":  # one thread gives the same bits anyway
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    filling, precision = memory.fill_uninitialized_memory, convolutions.fp32_precision
    torch.use_deterministic_algorithms(True, warn_only=before[1] if before[0] else True)
    memory.fill_uninitialized_memory = False  # otherwise every new tensor costs one more kernel
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
    """Let copies by index be fast inside the block. Each index occurs once, so their bits are the same in any order."""
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
    """Calls a function on a GPU with inputs from the CPU, and brings its outputs back, through pinned memory.

    Args:
        function: The function, from one tensor on the GPU to another. Their shapes should rarely change.
        device: The GPU.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._function, self._device = function, device
        self._in = self._out = torch.empty(0)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Outputs for `inputs`, both on the CPU. The next call overwrites the outputs."""
        if self._in.shape != inputs.shape:
            self._in = torch.empty_like(inputs, pin_memory=True)
        self._in.copy_(inputs)
        outputs = self._function(self._in.to(self._device, non_blocking=True))
        if self._out.shape != outputs.shape:
            self._out = torch.empty(outputs.shape, dtype=outputs.dtype, pin_memory=True)
        self._out.copy_(outputs, non_blocking=True)
        torch.accelerator.synchronize(self._device)
        return self._out
