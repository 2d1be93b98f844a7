"""Files that are written whole or not at all: bytes, JSON objects, tensors. None of them can hold code."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from torchpolicy.base.errors import CheckpointError

DEEPEST = 100
"""Levels of nested lists and tables that a file may have. Python's own limit is about 1000."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file such that a crash leaves either the whole new content or the old one.

    Raises:
        OSError: If it cannot be written. The error names `path`.
    """
    scratch = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)
    if sys.platform == "win32":  # where a folder cannot be opened
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as a JSON object.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot express.
        TypeError: If a value is not plain.
    """
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If the file cannot be read, or holds something else.
    """
    try:
        return parse_object(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def parse_object(text: bytes) -> dict[str, Any]:
    """Parse the text of a JSON object.

    Raises:
        ValueError: If it is something else, contains NaN or an infinity, or is nested too deep.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    check_depth(content)
    return content


def check_depth(content: Any) -> None:
    """Refuse lists and tables that are nested too deep for functions that call themselves on every level.

    Raises:
        ValueError: If there are more than :data:`DEEPEST` levels.
    """
    level = [content]
    for _ in range(DEEPEST + 1):
        level = [item for value in level for item in _items(value)]
        if not level:
            return
    raise ValueError(f"nested more than {DEEPEST} deep")


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors as the content of a safetensors file."""
    return safetensors.torch.save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write named tensors as a safetensors file; returns the sha256 of the file."""
    content = pack_tensors(tensors)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read named tensors from a safetensors file.

    Args:
        path: The file.
        sha256: The checksum of the file, or its first digits.

    Raises:
        CheckpointError: If the file is missing, damaged, or not a safetensors file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    if not sha256 or not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise CheckpointError(f"{path}: damaged: its sha256 is not the one that was recorded when it was written")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
