"""A policy on disk: its weights, what to rebuild it from, and the test of it.

policy/weights.safetensors   a ``state_dict``
policy/policy.json           its description, the weights' checksum and the test

A run that has not finished has its checkpoints alone, each of which holds the same description.
"""

import sys
from dataclasses import asdict, fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import TABLE, TEXT, Kind, check_fields, list_of, maybe, number, one_of, record_of, whole
from torchpolicy.base.files import read_json, read_tensors, write_json, write_tensors
from torchpolicy.base.version import FORMAT_VERSION, check_format, stamp
from torchpolicy.output.blueprint import DESCRIPTION, OwnPolicy, describe, fill, needs_policy, rebuild
from torchpolicy.output.config import CONFIG, check_identity, refuse_code, sealed, was_edited
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.rollout.outcome import Failure

FAILURE = Kind(
    "a failure", lambda value: isinstance(value, dict) and value.keys() == {each.name for each in fields(Failure)}
)

TEST = record_of(
    {
        "mean": maybe(number()),
        "ci": list_of(maybe(number())),
        "returns": list_of(maybe(number())),
        "lengths": list_of(whole()),
        "failures": list_of(FAILURE),
    }
)

FIELDS: dict[str, Kind] = DESCRIPTION | {
    "format_version": one_of(FORMAT_VERSION),
    "torchpolicy": TEXT,
    "sha256": TEXT,
    "generation": whole(),
    "test": TEST,
    "identity": maybe(TEXT),
    "checksum": TEXT,
}
"""All that a ``policy.json`` has, and what each field may be."""

NEEDS = ("format_version", *DESCRIPTION, "sha256", "generation")

STATE: dict[str, Kind] = {
    "generation": whole(),
    "description": TABLE,
    "policy": Kind(
        "a table of tensors",
        lambda value: isinstance(value, dict) and all(isinstance(each, Tensor) for each in value.values()),
    ),
}
"""What of a checkpoint makes a policy."""


def save_policy(
    run_dir: Path,
    policy: Policy,
    generation: int = 0,
    evaluation: Evaluation | None = None,
    identity: str | None = None,
) -> None:
    """Write the policy's weights, what to rebuild it from, the test of it, and which run it is of."""
    folder = run_dir / "policy"
    run_dir.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    sha256 = write_tensors(folder / "weights.safetensors", policy.state_dict())
    description = {**stamp(), **describe(policy), "sha256": sha256, "generation": generation}
    if evaluation is not None:
        description["test"] = {
            "mean": _or_none(evaluation.mean),
            "ci": [_or_none(end) for end in evaluation.ci],
            "returns": [_or_none(value) for value in evaluation.returns.tolist()],
            "lengths": evaluation.lengths.tolist(),
            "failures": [asdict(failure) for failure in evaluation.failures],
        }
    write_json(folder / "policy.json", sealed(description | {"identity": identity}))


def saved_generation(run_dir: Path) -> int | None:
    """The generation that a run's final policy is of; None if there is none yet.

    Raises:
        CheckpointError: If there is one, and it is damaged, or another run's.
    """
    if _is_absent(run_dir):
        return None
    description = _read(run_dir)
    read_tensors(run_dir / "policy" / "weights.safetensors", description["sha256"])
    return int(description["generation"])


def load_evaluation(run_dir: Path) -> Evaluation:
    """The test of a finished run's policy."""
    description = _read(run_dir)
    if "test" not in description:
        raise CheckpointError(f"{run_dir / 'policy' / 'policy.json'}: lacks test")
    test = description["test"]
    returns = np.array([np.nan if value is None else value for value in test["returns"]])
    return Evaluation(returns, np.array(test["lengths"]), [Failure(**failure) for failure in test["failures"]])


def load_policy(run_dir: str | Path, own: OwnPolicy | None = None) -> Policy:
    """Read the policy of a run, in eval mode; of one that has not finished, that of its newest checkpoint.

    Runs no code from the files.

    Args:
        run_dir: The run's folder.
        own: For a policy around a module of the user's own: such a policy, whose weights are replaced.

    Raises:
        CheckpointError: If a file is missing, damaged, another run's, or does not fit.
        ValueError: If the run needs `own`, or that does not fit its spaces.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    if _is_absent(folder) and (folder / CONFIG).exists():
        return _of_checkpoint(folder, own)
    description, path = _read(folder), folder / "policy" / "weights.safetensors"
    policy = rebuild(folder / "policy" / "policy.json", description, own)
    fill(policy, read_tensors(path, description["sha256"]), path)
    return policy.eval()


def _of_checkpoint(run_dir: Path, own: OwnPolicy | None) -> Policy:
    """The policy of a run that goes on, or was interrupted."""
    identity, policy = _identity_of(run_dir), None

    def take(state: dict[str, Any], path: Path) -> None:
        nonlocal policy
        check_identity(state, identity)
        if "description" not in state:
            raise ValueError("an earlier version wrote it, and its policy alone cannot be had: torchpolicy resume")
        check_fields(state, STATE, STATE)
        check_fields(state["description"], DESCRIPTION, DESCRIPTION)
        if own is not None or state["description"]["settings"] is not None:
            policy = rebuild(path, state["description"], own)
            fill(policy, state["policy"], path)

    state, refused = load_checkpoint(run_dir / "checkpoints", take)
    for reason in refused:
        print(f"checkpoint refused, taking the one before: {reason}", file=sys.stderr)
    if state is None:
        raise CheckpointError(f"{run_dir}: has neither a policy nor a checkpoint yet")
    if policy is None:
        raise ValueError(needs_policy(run_dir))
    print(f"{run_dir} has not finished: using its checkpoint of generation {state['generation']}", file=sys.stderr)
    return policy.eval()


def _is_absent(run_dir: Path) -> bool:
    return not (run_dir / "policy" / "policy.json").exists()


def _read(run_dir: Path) -> dict[str, Any]:
    """The content of a run's ``policy.json``, checked."""
    path = run_dir / "policy" / "policy.json"
    description = read_json(path)
    try:
        check_format(description, description.get("torchpolicy"))
        check_fields(description, FIELDS, NEEDS)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    refuse_code(path, {"policy": description["settings"]})
    if was_edited(description):
        raise CheckpointError(f"{path}: was edited, or is damaged: its checksum is not that of its fields")
    found, identity = description.get("identity"), _identity_of(run_dir)
    if None not in (found, identity) and found != identity:
        raise CheckpointError(
            f"{path}: is of another run: its identity is {found}, that of the {CONFIG} beside it is {identity}"
        )
    return description


def _identity_of(run_dir: Path) -> object:
    """What ``config.json`` calls the run; None if there is none, or an earlier version wrote it."""
    path = run_dir / CONFIG
    return read_json(path).get("identity") if path.exists() else None


def _or_none(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if isfinite(value) else None
