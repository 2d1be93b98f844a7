"""A device for tests: its tensors lie in the CPU's memory, and meet one of the CPU's only where a GPU's might.

An operation that changes a tensor's shape in place (squeeze_, which a vector times a matrix calls) goes wrong here.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import torchpolicy.base.device

T = TypeVar("T")

NAME = "elsewhere"

COPIES = ("aten::_to_copy", "aten::copy_")
"""What takes tensors of two devices."""

INDEXING = ("aten::index", "aten::index_put_", "aten::_index_put_impl_")
"""What takes an index of the CPU's besides."""


class Away(Tensor):
    """A tensor there."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        away: Away = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        away.held = held
        return away

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[attr-defined]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, *, force: bool = False) -> "np.ndarray[Any, Any]":
        if not force:
            raise TypeError(f"can't convert a tensor on {NAME} to numpy")
        return self.held.detach().numpy()

    def __deepcopy__(self, memo: Any) -> Tensor:
        copy = Away(self.held.clone())
        return torch.nn.Parameter(copy, self.requires_grad) if isinstance(self, torch.nn.Parameter) else copy


class _Everywhere(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation on what the tensors hold, if they may meet."""
    name, device = func._schema.name, kwargs.get("device")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    away = [tensor for tensor in tensors if isinstance(tensor, Away)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Away) and tensor.ndim]
    if away and name not in COPIES and not (name in INDEXING and isinstance(args[0], Away)):
        assert not here, f"{name}: tensors on two devices"
    if name in INDEXING and here and away:
        values = args[2:3]
        assert all(isinstance(value, Away) or not value.ndim for value in values), f"{name}: values on another device"
    there = bool(away) if device is None else torch.device(device).type == NAME
    if name == "aten::copy_":
        there = isinstance(args[0], Away)
    args, kwargs = tree_map(_held, (args, kwargs))
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    kwargs.pop("pin_memory", None)
    mine = {id(_held(tensor)): tensor for tensor in away}  # what is changed in place stays the same object

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor) or not there:
            return value
        return mine[id(value)] if id(value) in mine else Away(value)

    return tree_map(wrap, func(*args, **kwargs))


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Away) else value


@contextmanager
def _elsewhere() -> Iterator[None]:
    module = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1, is_initialized=lambda: True)
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = lambda seed: None
    module.get_device_properties = lambda device: SimpleNamespace(name="a part of the CPU", total_memory=2**32)
    _setup_privateuseone_for_python_backend(NAME, module)
    torchpolicy.base.device.KINDS = ("cpu", NAME)
    torch.accelerator.synchronize = lambda device=None: None
    torch.set_num_threads(1)
    with _Everywhere():
        yield


def _call(function: Callable[..., T], *args: Any) -> T:
    with _elsewhere():
        return function(*args)


def in_process_with_device(function: Callable[..., T], *args: Any) -> T:
    """What `function` returns in a process of its own, where there is a device called `NAME`."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_call, function, *args).result()
