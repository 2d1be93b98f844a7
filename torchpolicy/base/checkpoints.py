"""Checkpoints: trees of tensors and plain values, one checksummed safetensors file for each."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.files import check_depth, pack_tensors, read_tensors, write_bytes
from torchpolicy.base.version import check_format, stamp

KEPT = 2
"""Checkpoints that a folder keeps."""

TENSOR, TREE = "$tensor", "$tree"
"""Key that stands where a tensor was taken out of a tree, and name of the tree without its tensors."""

LISTINGS = 10
"""How often a folder is listed again because a running training prunes the checkpoints that are being read."""


def save_checkpoint(folder: Path, generation: int, state: Mapping[str, Any]) -> Path:
    """Write a tree of tensors and plain values as the checkpoint of a generation, then delete older ones.

    The file is ``ckpt-<generation>-<first 16 digits of its sha256>.safetensors``: it is there whole or not at all, and
    its name holds its checksum. It says in which format it is and which version wrote it, so a tree has no fields of
    those two names. The last two checkpoints are kept. `folder` is created if it is missing, but its parents are not.

    Raises:
        TypeError: If a value is neither a tensor nor plain.
        OSError: If it cannot be written. Earlier checkpoints are untouched then.
    """
    content = _encode({**state, **stamp()})
    folder.mkdir(exist_ok=True)
    path = folder / f"ckpt-{generation:08d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    for scratch in folder.glob("*.tmp-*"):  # left by a process that was killed
        scratch.unlink(missing_ok=True)
    write_bytes(path, content)
    older = [other for other in _newest_first(folder) if other != path and other.is_file()]
    older = [other for other in older if _generation(other) <= _generation(path)]  # a later one was refused
    for other in older[KEPT - 1 :]:
        other.unlink(missing_ok=True)
    return path


def load_checkpoint(
    folder: Path, take: Callable[[dict[str, Any], Path], object] | None = None
) -> tuple[dict[str, Any] | None, list[str]]:
    """Read the newest checkpoint that is whole and can be used.

    Args:
        folder: Where the checkpoints are. A run may write and delete some while they are read.
        take: Called with the tree and the file of each candidate. It raises ValueError to refuse one.

    Returns:
        The tree, or None if there is no checkpoint at all; and the reasons why newer ones were refused.

    Raises:
        CheckpointError: If there are checkpoints, and none can be used.
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


def _newest_first(folder: Path) -> list[Path]:
    """Checkpoints from the highest generation down; within a generation, the last written first."""
    found = []
    for path in folder.glob("ckpt-*.safetensors"):
        try:
            found.append((_generation(path), path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # deleted in the meantime
            continue
    return [path for _, _, path in sorted(found, reverse=True)]


def _generation(path: Path) -> str:
    """The digits of a checkpoint's generation."""
    return path.name.split("-")[1]


def digest_of(state: Mapping[str, Any]) -> str:
    """A hash of a tree of tensors and plain values, exact to the last bit: 16 hexadecimal digits.

    Raises:
        TypeError: If a value is neither a tensor nor plain.
    """
    return hashlib.sha256(_encode(state)).hexdigest()[:16]


def check_saveable(state: Any) -> None:
    """Refuse values that a checkpoint cannot hold.

    Raises:
        TypeError: If a value is neither a tensor nor plain.
    """
    _split(state, "state", {})


def _encode(state: Mapping[str, Any]) -> bytes:
    """A tree as the content of a checkpoint."""
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_split(state, "", tensors))
    tensors[TREE] = torch.frombuffer(bytearray(tree.encode()), dtype=torch.uint8)
    return pack_tensors(tensors)


def _read_tree(path: Path) -> dict[str, Any]:
    """The tree of a checkpoint, without its format and version.

    Raises:
        CheckpointError: If it is damaged, or a newer version wrote it in another format.
    """
    tensors = read_tensors(path, path.stem.rpartition("-")[2])
    try:
        tree = json.loads(tensors[TREE].numpy().tobytes())
        check_depth(tree)
        joined = _join(tree, tensors)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint: {type(error).__name__}: {error}") from error
    if not isinstance(joined, dict):
        raise CheckpointError(f"{path}: not a checkpoint: expected a table, got {type(joined).__name__}")
    try:
        check_format(joined, joined.get("torchpolicy"))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return {name: value for name, value in joined.items() if name not in stamp()}


def _split(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """A tree whose tensors are taken out and put into `tensors`, each under the name of its place."""
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
