"""Tensors and JSON on disk: whole or absent, checked when read, and no code in them."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from torchpolicy.base.errors import CheckpointError

KEPT = 2  # checkpoints that stay
TENSOR, TREE = "$tensor", "$tree"  # keys: where a tensor was, and the tree without them

DEEPEST = 100
"""Levels of lists and tables, one in the other, that a file may have; Python itself ends at some 1000."""

LISTINGS = 10
"""Times that a folder is looked at again, where a run prunes the checkpoints that are being read."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole, or as it was before."""
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
        return parse_object(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def parse_object(text: bytes) -> dict[str, Any]:
    """The JSON object that a text is.

    Raises:
        ValueError: If it is none, or holds NaN or an infinity, or lists in lists without end.
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
    """Refuse lists and tables that are nested too deep for what works on them level by level.

    Raises:
        ValueError: If they are.
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
    return _parse(path, sha256)


def _parse(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors of a file whose sha256 begins with `digest`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    if not digest or not hashlib.sha256(content).hexdigest().startswith(digest):
        raise CheckpointError(f"{path}: damaged: its sha256 is not the one that was recorded when it was written")
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error


def save_checkpoint(folder: Path, generation: int, state: Mapping[str, Any]) -> Path:
    """Write a tree of tensors and plain values as the checkpoint of a generation, then prune older ones.

    One safetensors file, ``ckpt-<generation>-<first 16 digits of its sha256>.safetensors``: it is whole
    or absent, and carries its own checksum. The last two are kept. The folder is made, but not the one it is in.

    Raises:
        TypeError: If a value is neither a tensor nor plain.
        OSError: If it cannot be written; the checkpoints before are untouched.
    """
    content = _encode(state)
    folder.mkdir(exist_ok=True)
    path = folder / f"ckpt-{generation:08d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    for scratch in folder.glob("*.tmp-*"):  # of a process that was killed
        scratch.unlink(missing_ok=True)
    write_bytes(path, content)
    older = [other for other in _newest_first(folder) if other != path and other.is_file()]
    older = [other for other in older if _generation(other) <= _generation(path)]  # a later one was refused
    for other in older[KEPT - 1 :]:
        other.unlink(missing_ok=True)
    return path


def digest_of(state: Mapping[str, Any]) -> str:
    """16 digits for a tree of tensors and plain values, to the last bit.

    Raises:
        TypeError: If a value is neither a tensor nor plain.
    """
    return hashlib.sha256(_encode(state)).hexdigest()[:16]


def _encode(state: Mapping[str, Any]) -> bytes:
    """A tree as the content of a checkpoint."""
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_split(state, "", tensors))
    tensors[TREE] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
    return safetensors.torch.save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})


def load_checkpoint(
    folder: Path, take: Callable[[dict[str, Any], Path], object] | None = None
) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest whole checkpoint's tree, None if there is none at all, and why newer ones were refused.

    Args:
        folder: Where they are. A run that goes on may write and prune there in the meantime.
        take: Called with a tree and its file; raises ValueError for one that is to be refused as if it were damaged.

    Raises:
        CheckpointError: If there are checkpoints, but none can be taken.
    """
    for _ in range(LISTINGS):
        refused: list[str] = []
        found = _newest_first(folder)
        for path in found:
            try:
                tree = _read_tree(path)
                if take is not None:
                    take(tree, path)
            except CheckpointError as error:
                refused.append(str(error))
            except ValueError as error:
                refused.append(f"{path}: {error}")
            else:
                return tree, refused
        if not refused:
            return None, refused
        if all(path.exists() for path in found):
            break
    raise CheckpointError(f"no checkpoint can be read: {'; '.join(refused)}")


def _read_tree(path: Path) -> dict[str, Any]:
    """The tree of a checkpoint.

    Raises:
        CheckpointError: If it is damaged.
    """
    tensors = _parse(path, path.stem.rpartition("-")[2])
    try:
        tree = json.loads(tensors[TREE].numpy().tobytes())
        check_depth(tree)
        joined = _join(tree, tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {type(error).__name__}: {error}") from error
    if not isinstance(joined, dict):
        raise CheckpointError(f"{path}: not a checkpoint: expected a table, got {type(joined).__name__}")
    return joined


def _newest_first(folder: Path) -> list[Path]:
    """Checkpoints by generation; of one generation, the last written first."""
    found = []
    for path in folder.glob("ckpt-*.safetensors"):
        try:
            found.append((_generation(path), path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # pruned in the meantime
            continue
    return [path for _, _, path in sorted(found, reverse=True)]


def _generation(path: Path) -> str:
    """The digits of a checkpoint's generation."""
    return path.name.split("-")[1]


def check_saveable(state: Any) -> None:
    """Refuse what no checkpoint holds.

    Raises:
        TypeError: If there is something else than tensors and plain values.
    """
    _split(state, "state", {})


def _split(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """`value` with its tensors taken out, each under the name of its place."""
    if isinstance(value, Tensor):
        tensors[place] = value
        return {TENSOR: place}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"a checkpoint's keys must be strings, got {list(value)} at {place!r}")
        return {key: _split(item, f"{place}/{key}", tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_split(item, f"{place}/{index}", tensors) for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, got {type(value).__name__} at {place!r}")


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of :func:`_split`."""
    if isinstance(value, dict):
        if value.keys() == {TENSOR}:
            return tensors[value[TENSOR]]
        return {key: _join(item, tensors) for key, item in value.items()}
    return [_join(item, tensors) for item in value] if isinstance(value, list) else value
