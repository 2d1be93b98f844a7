"""What a module holds besides its parameters, in a form that can be compared: does a forward change it?"""

import random
import zlib
from collections import deque
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

DEEPEST, LONGEST = 4, 1000
"""How deep objects within objects are followed, and how many items of a collection are looked at, at most."""

OWN = frozenset(vars(nn.Module())) - {"_buffers", "training"}
"""What torch keeps in every module: parameters, submodules and hooks."""

Fingerprint = dict[str, object]


def fingerprint(module: nn.Module) -> Fingerprint:
    """Everything that a module and its submodules hold besides parameters, {place: a value that can be compared}."""
    found: Fingerprint = {}
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in OWN:
                place = f"{prefix}.{name}" if prefix else name
                if name == "_buffers":
                    found |= {place.replace("_buffers", key): _look(buffer) for key, buffer in value.items()}
                else:
                    found[place] = _look(value)
        for kind in type(part).__mro__:
            if not kind.__module__.startswith(("torch.", "builtins")):
                plain = {name: value for name, value in vars(kind).items() if not name.startswith("__")}
                found |= {f"{kind.__name__}.{name}": _look(value) for name, value in plain.items()}
    return found


def differences(before: Fingerprint, after: Fingerprint) -> list[str]:
    """The places whose value has changed, and those that are new."""
    return [place for place in after if place not in before or before[place] != after[place]]


def _look(value: Any, depth: int = 0) -> object:
    """A value in a form that can be compared; only its kind if it cannot be looked into."""
    kind = type(value).__name__
    if value is None or isinstance(value, bool | int | str | bytes):
        return value
    if isinstance(value, float | complex):
        return repr(value)
    if isinstance(value, Tensor):
        return _look_at_tensor(value)
    if isinstance(value, np.ndarray):
        return kind, value.shape, str(value.dtype), zlib.crc32(np.ascontiguousarray(value).tobytes())
    if isinstance(value, nn.Module | type) or callable(value) or depth == DEEPEST:
        return kind
    if isinstance(value, torch.Generator):
        return _look_at_tensor(value.get_state())
    if isinstance(value, random.Random):
        return hash(value.getstate())
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, Mapping):
        items = list(value.items())[:LONGEST]
        return kind, len(value), [(_look(key, depth + 1), _look(each, depth + 1)) for key, each in items]
    if isinstance(value, list | tuple | deque):
        return kind, len(value), [_look(each, depth + 1) for each in list(value)[:LONGEST]]
    if isinstance(value, Set):
        return kind, len(value), sorted(repr(_look(each, depth + 1)) for each in list(value)[:LONGEST])
    if type(value).__module__ == "itertools":
        return repr(value)  # that of a counter holds its present number
    inner = getattr(value, "__dict__", None)
    return kind, _look(dict(inner), depth + 1) if inner else None


def _look_at_tensor(tensor: Tensor) -> object:
    """A tensor's shape, dtype and checksum."""
    about = tuple(tensor.shape), str(tensor.dtype)
    left_over = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # a vmap left it behind: it has no numbers
    if left_over or tensor.is_meta or tensor.layout is not torch.strided:
        return about
    flat = tensor.detach().cpu().contiguous()
    return *about, zlib.crc32(flat.view(-1).view(torch.uint8).numpy().tobytes()) if flat.numel() else 0
