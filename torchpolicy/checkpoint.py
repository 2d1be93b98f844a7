"""Tensors and JSON on disk: whole or absent, checked when read, and no code in them."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor


class CheckpointError(ValueError):
    """A file that cannot be read as what it should be; names the file and the reason."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or as it was before."""
    scratch = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as a JSON object.

    Raises:
        ValueError: If a number is NaN or infinite, which JSON cannot say.
        TypeError: If a value is not plain.
    """
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: If there is none.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write named tensors as safetensors; returns the sha256 of the file."""
    content = safetensors.torch.save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    """Read named tensors from a file with this checksum.

    Raises:
        CheckpointError: If the file is missing, damaged or not safetensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{path}: damaged: its sha256 is not the one that was recorded when it was written")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
