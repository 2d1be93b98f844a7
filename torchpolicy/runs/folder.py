"""The run folder.

config.json     what was run
metrics.jsonl   one JSON object a generation
events.*        TensorBoard's
checkpoints/    the last two states of the whole run
policy/         the policy that was kept: weights.safetensors and policy.json
"""

import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from math import isfinite
from pathlib import Path
from typing import IO, Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.checkpoints import digest_of
from torchpolicy.base.device import find_device
from torchpolicy.base.files import read_json, write_json
from torchpolicy.base.version import FORMAT_VERSION, __version__
from torchpolicy.output.config import CONFIG, SINCE_HYPERPARAMETERS, digest, read_config, sealed
from torchpolicy.runs.settings import MAY_CHANGE, RECORDED

MAY_DIFFER = (*(name for name in MAY_CHANGE if name in RECORDED), "versions")
"""Fields of ``config.json`` that may differ where a run goes on."""

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"

LOCKED_BYTE = 2**30
"""Where the file is locked on Windows, which lets nobody else read a locked byte; the holder's number stands before."""


def create_run_folder(log_dir: str | Path, run_dir: str | Path | None, env: str, algorithm: str, seed: int) -> Path:
    """Make a new folder: `run_dir`, or ``log_dir/<env>/<algorithm>-s<seed>-<time>[-k]``.

    Raises:
        ValueError: If it cannot be made, or `run_dir` holds something other than a run.
    """
    try:
        if run_dir is not None:
            folder = Path(run_dir)
            folder.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in folder.iterdir() if path.name != LOCK]
            if others and not (folder / CONFIG).exists():
                raise ValueError(f"run_dir {folder} is neither empty nor a run: name a new one")
            return folder
        return new_folder(log_dir, env, f"{algorithm}-s{seed}")
    except OSError as error:
        raise ValueError(f"cannot make the run folder {error.filename}: {error.strerror}") from error


def new_folder(log_dir: str | Path, env: str, name: str) -> Path:
    """Make the folder ``log_dir/<env>/<name>-<time>[-k]``.

    Raises:
        ValueError: If it cannot be made.
    """
    parent = folder_of(log_dir, env)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        stamped = parent / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return next(folder for folder in _candidates(stamped) if _make(folder))
    except OSError as error:
        raise ValueError(f"cannot make the run folder {error.filename}: {error.strerror}") from error


def folder_of(log_dir: str | Path, env: str) -> Path:
    """The folder in which the runs of an environment lie."""
    return Path(log_dir) / re.sub(r"[^\w.-]+", "_", env)


def _candidates(folder: Path) -> Iterator[Path]:
    """`folder`, `folder`-2, `folder`-3, …"""
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _make(folder: Path) -> bool:
    """Make a folder; False if it is there already, made by a run that started in the same second."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def versions(device: str = "cpu") -> dict[str, str]:
    """Versions and machine: all that the bits of a result may depend on besides its configuration."""
    gpu = {}
    if device != "cpu":
        properties = torch.get_device_module(device).get_device_properties(find_device(device))
        gpu = {"gpu": f"{properties.name}, {torch.version.cuda}"}
    return {
        **gpu,
        "torchpolicy": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def open_run(run_dir: Path, config: Mapping[str, Any], first: Mapping[str, Any]) -> str | None:
    """Write ``config.json`` for a new run; for a run that goes on, check that its configuration is the same.

    Args:
        run_dir: The run's folder.
        config: The run's configuration as plain values.
        first: The state that a new run begins with, as a tree of tensors and plain values.

    Returns:
        The run's identity, a digest of its configuration and of what it began with; None for a run that was begun by
        a version without identities.

    Raises:
        CheckpointError: If the folder's configuration is damaged.
        ValueError: If the folder holds a run of another configuration, with the fields that differ. Budgets
            and the cadence of checkpoints may change.
    """
    record = plain({"format_version": FORMAT_VERSION, **config, "versions": versions(config["device"])})
    path = run_dir / CONFIG
    if not path.exists():
        identity = f"{digest(record, without=MAY_DIFFER)}-{digest_of(first)}"
        write_json(path, sealed(record | {"identity": identity}))
        return identity
    before = read_config(run_dir, ())
    found = before.get("identity")
    changed = [
        f"{key} was {old}, is {new}"
        for key, old, new in _differences(before, record)
        if key not in (*MAY_DIFFER, "identity", "checksum")
    ]
    if changed:
        raise ValueError(f"{run_dir} is a run of another configuration: {'; '.join(changed)}")
    return None if found is None else str(found)


def record_changes(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Write down what differs where a run goes on: its budgets, the cadence of checkpoints, and the versions."""
    path = run_dir / CONFIG
    record = plain({**config, "versions": versions(config["device"])})
    after = {name: record[name] for name in MAY_DIFFER}
    before = read_json(path)
    if any(before.get(name) != value for name, value in after.items()):
        write_json(path, sealed({name: after.get(name, value) for name, value in before.items()}))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(field, old value, new value) where two configurations differ."""
    for key in {**before, **now}:
        old, new = (each.get(key, SINCE_HYPERPARAMETERS.get(key)) for each in (before, now))
        if key == "hyperparameters" and isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new)
        elif old != new:
            yield key, old, new


def place_of(run_dir: Path) -> tuple[int, int] | None:
    """Identity of a folder on its disk, which a folder of the same name does not share; None if it is gone."""
    try:
        found = run_dir.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder while the process lives: it is released however the process ends.

    Raises:
        ValueError: If another process holds it.
    """
    with (run_dir / LOCK).open("a+") as file:
        try:
            _hold(file)
        except (BlockingIOError, PermissionError):  # what Linux says, and what Windows says
            file.seek(0)
            raise ValueError(f"{run_dir} is being run by process {file.read().strip() or 'unknown'}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _hold(file: IO[str]) -> None:
    """Lock an open file until it is closed, or this process ends.

    Raises:
        BlockingIOError, PermissionError: If another process holds it.
    """
    if sys.platform == "win32":
        os.lseek(file.fileno(), LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def name_of(code: object) -> str:
    """The name of the user's own code, for the record; nothing is ever imported by it."""
    if isinstance(code, str):
        return code
    named = code if hasattr(code, "__qualname__") else type(code)
    return f"{named.__module__}:{named.__qualname__}"


def plain(value: Any) -> Any:
    """A value that JSON can hold; a long tensor or an object is only described, as ``{"is": …}``."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= 1000 else {"is": f"{value.dtype} {tuple(value.shape)}"}
    if isinstance(value, np.ndarray):
        return plain(torch.from_numpy(value)) if value.dtype.kind in "biuf" else value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float | str | None):
        return value
    shown = repr(value)
    return {"is": name_of(value) if " at 0x" in shown else shown}  # an address differs from process to process
