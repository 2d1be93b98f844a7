"""The run folder: config, metrics, policy.

config.json     what was run
metrics.jsonl   one JSON object a generation
events.*        TensorBoard's
policy/         the final center: weights.safetensors and policy.json
"""

import fcntl
import os
import platform
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from torchpolicy.catalog import policy_class
from torchpolicy.checkpoint import CheckpointError, read_json, read_tensors, write_json, write_tensors
from torchpolicy.device import find_device
from torchpolicy.evaluation import Evaluation
from torchpolicy.outcome import Failure
from torchpolicy.policies.base import Policy
from torchpolicy.spaces import space_from_json, space_to_json
from torchpolicy.version import __version__

FORMAT_VERSION = 1
CONFIG, LOCK = "config.json", ".lock"
MAY_CHANGE = (
    *("target", "generations", "total_steps", "seconds", "tolerance", "tolerance_generations"),
    *("checkpoint_seconds", "versions"),
)


def create_run_folder(log_dir: str | Path, run_dir: str | Path | None, env: str, algorithm: str, seed: int) -> Path:
    """Make a new folder: `run_dir`, or ``log_dir/<env>/<algorithm>-s<seed>-<time>[-k]``.

    Raises:
        ValueError: If it cannot be made, or `run_dir` holds something else than a run.
    """
    try:
        if run_dir is not None:
            folder = Path(run_dir)
            folder.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in folder.iterdir() if path.name != LOCK]
            if others and not (folder / CONFIG).exists():
                raise ValueError(f"run_dir {folder} is neither empty nor a run: name a new one")
            return folder
        parent = Path(log_dir) / re.sub(r"[^\w.-]+", "_", env)
        parent.mkdir(parents=True, exist_ok=True)
        name = f"{algorithm}-s{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
        return next(folder for folder in _candidates(parent / name) if _make(folder))
    except OSError as error:
        raise ValueError(f"cannot make the run folder {error.filename}: {error.strerror}") from error


def _candidates(folder: Path) -> Iterator[Path]:
    """`folder`, `folder`-2, `folder`-3, …"""
    yield folder
    for number in count(2):
        yield folder.with_name(f"{folder.name}-{number}")


def _make(folder: Path) -> bool:
    """Make a folder; whether it is ours, and not that of a run that started in the same second."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def versions(device: str = "cpu") -> dict[str, str]:
    """What the bits of a result on a device may depend on, besides its configuration."""
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


def open_run(run_dir: Path, config: Mapping[str, Any]) -> None:
    """Record what is run, and on what the bits of its result may depend; or see that it is what the folder's run is.

    Raises:
        ValueError: If the folder holds a run of another configuration, with the fields that differ. Budgets
            and the cadence of checkpoints may change.
    """
    record = _plain({"format_version": FORMAT_VERSION, **config, "versions": versions(config["device"])})
    path = run_dir / CONFIG
    if path.exists():
        before = read_json(path)
        changed = [
            f"{key} was {old}, is {new}" for key, old, new in _differences(before, record) if key not in MAY_CHANGE
        ]
        if changed:
            raise ValueError(f"{run_dir} is a run of another configuration: {'; '.join(changed)}")
    write_json(path, record)


def read_config(run_dir: str | Path, env: object = None) -> dict[str, Any]:
    """The configuration of a run, whose environment is one of Gymnasium's, or is given as `env`.

    Raises:
        CheckpointError: If there is no such run.
        ValueError: If the run was in an environment of the user's own, and `env` is None.
    """
    if not Path(run_dir).is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    config = read_json(Path(run_dir) / CONFIG)
    if env is None and ":" in str(config.get("env")):
        raise ValueError(
            f"the run was in an environment of your own, or a package's: name it again, --env {config['env']}"
        )
    return config


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(field, old value, new value) where two configurations differ."""
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if key == "hyperparameters" and isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new)
        elif old != new:
            yield key, old, new


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold a run's folder; whoever holds it loses it by dying, in whatever way.

    Raises:
        ValueError: If another process holds it.
    """
    with (run_dir / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ValueError(f"{run_dir} is being run by process {file.read().strip() or 'unknown'}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def name_of(code: object) -> str:
    """A name of the user's own code, for the record; it is never imported from there."""
    if isinstance(code, str):
        return code
    named = code if hasattr(code, "__qualname__") else type(code)
    return f"{named.__module__}:{named.__qualname__}"


def save_policy(run_dir: Path, policy: Policy, generation: int = 0, evaluation: Evaluation | None = None) -> None:
    """Write the policy's weights, what to rebuild it from, and the test of it."""
    folder = run_dir / "policy"
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = write_tensors(folder / "weights.safetensors", policy.state_dict())
    description: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "settings": policy.settings,
        "observation_space": space_to_json(policy.observation_space),
        "action_space": space_to_json(policy.action_space),
        "normalizes": policy.normalizer is not None,
        "sha256": sha256,
        "generation": generation,
    }
    if evaluation is not None:
        description["test"] = {
            "mean": _or_none(evaluation.mean),
            "ci": [_or_none(end) for end in evaluation.ci],
            "returns": [_or_none(value) for value in evaluation.returns.tolist()],
            "lengths": evaluation.lengths.tolist(),
            "failures": [asdict(failure) for failure in evaluation.failures],
        }
    write_json(folder / "policy.json", description)


def saved_generation(run_dir: Path) -> int | None:
    """The generation that a run's final policy is of; None if there is none yet."""
    path = run_dir / "policy" / "policy.json"
    return read_json(path).get("generation") if path.exists() else None


def load_evaluation(run_dir: Path) -> Evaluation:
    """The test of a finished run's policy."""
    test = read_json(run_dir / "policy" / "policy.json")["test"]
    returns = np.array([np.nan if value is None else value for value in test["returns"]])
    return Evaluation(returns, np.array(test["lengths"]), [Failure(**failure) for failure in test["failures"]])


def load_policy(run_dir: str | Path, module: nn.Module | None = None) -> Policy:
    """Read the policy of a run, in eval mode. Runs no code from the files.

    Args:
        run_dir: The run's folder.
        module: For a policy around a module of the user's own: such a module, whose weights are
            replaced.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit.
        ValueError: If the run needs a `module`, or the module does not fit its spaces.
    """
    folder = Path(run_dir) / "policy"
    if not Path(run_dir).is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    path = folder / "policy.json"
    description = read_json(path)
    if description.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: expected format_version {FORMAT_VERSION}, got {description.get('format_version')!r}"
        )
    try:
        spaces = space_from_json(description["observation_space"]), space_from_json(description["action_space"])
        settings, sha256 = description["settings"], description["sha256"]
        normalizes = bool(description["normalizes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: {type(error).__name__}: {error}") from error
    if isinstance(module, Policy):
        policy = module
        if (policy.observation_space, policy.action_space) != spaces:
            raise CheckpointError(f"{path}: is of a policy from {spaces[0]} to {spaces[1]}, not of the one given")
    elif module is not None:
        policy = Policy(module, *spaces)
    elif settings is None:
        raise ValueError(
            f"the policy of {run_dir} is around a module of your own: "
            "load it with module=YourModule() or --policy pkg.mod:factory"
        )
    else:
        try:
            policy = policy_class(settings["policy"])(*spaces, **settings["policy_args"])
        except Exception as error:
            raise CheckpointError(f"{path}: {type(error).__name__}: {error}") from error
    if normalizes:
        policy.normalize()
    path = folder / "weights.safetensors"
    _load_weights(policy, read_tensors(path, sha256), path)
    return policy.eval()


def _load_weights(policy: Policy, tensors: dict[str, Tensor], path: Path) -> None:
    """Put tensors into a policy, all or none.

    Raises:
        CheckpointError: With the list of what does not fit.
    """
    expected = policy.state_dict()
    problems = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    problems += [f"{name} is unknown" for name in tensors.keys() - expected.keys()]
    for name in expected.keys() & tensors.keys():
        if tensors[name].shape != expected[name].shape:
            problems.append(f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(expected[name].shape)}")
        elif not torch.isfinite(tensors[name]).all():
            problems.append(f"{name} is not finite")
    if problems:
        raise CheckpointError(f"{path}: does not fit the policy: {'; '.join(sorted(problems))}")
    policy.load_state_dict(tensors)


def _or_none(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if isfinite(value) else None


def _plain(value: Any) -> Any:
    """A value as JSON can hold it; a long tensor or an object only by what it is, ``{"is": …}``."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Tensor):
        return value.tolist() if value.numel() <= 1000 else {"is": f"{value.dtype} {tuple(value.shape)}"}
    if isinstance(value, np.ndarray):
        return _plain(torch.from_numpy(value)) if value.dtype.kind in "biuf" else value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | str | None) else {"is": repr(value)}
