"""Resuming a run from its newest checkpoint that is whole, belongs to this run, and has the right fields."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import FLAG, TABLE, TEXT, Kind, check_fields, list_of, maybe, number, record_of, whole
from torchpolicy.output.blueprint import misfits
from torchpolicy.output.config import check_identity
from torchpolicy.output.writers.jsonl import NAME as METRICS
from torchpolicy.output.writers.jsonl import read_rows
from torchpolicy.training.trainer import Trainer

VALIDATION = Kind(
    "a generation and its score",
    lambda value: isinstance(value, list) and len(value) == 2 and whole().fits(value[0]) and number().fits(value[1]),
)

POSITIVE = Kind("a tensor of positive numbers", lambda value: isinstance(value, Tensor) and bool((value > 0).all()))

NUMBER = Kind("a number", lambda value: type(value) in (int, float) and value == value)  # it may be infinite

OF_ALGORITHMS: dict[str, Kind] = {
    "generation": whole(),
    "generator": Kind("bytes", lambda value: isinstance(value, Tensor) and value.dtype == torch.uint8),
    "std": POSITIVE,
    "initial_std": POSITIVE,
}
"""What these fields of an algorithm's state may be, if the value at the start is of that kind."""

LIKE: dict[type, Kind] = {
    bool: FLAG,
    int: NUMBER,
    float: NUMBER,
    str: TEXT,
    list: Kind("a list", lambda value: isinstance(value, list)),
    dict: TABLE,
    Tensor: Kind("a tensor", lambda value: isinstance(value, Tensor)),
}
"""What other values of an algorithm's or the diagnosis's state may be, by the type at the start."""

STATE: dict[str, Kind] = {
    "generation": whole(),
    "env_steps": whole(),
    "reached": FLAG,
    "target": maybe(number()),
    "ended": FLAG,
    "budget": list_of(maybe(number(0))),
    "validations": list_of(VALIDATION),
    "failing": whole(),
    "diagnosis": TABLE,
    "callbacks": TABLE,
    "elapsed": number(0),
    "best": record_of({"score": maybe(number()), "generation": whole(), "policy": TABLE}),
    "glanced": record_of({"generation": whole(), "steps": whole()}),
    "way": TABLE,
    "algorithm": TABLE,
    "policy": TABLE,
}
"""The fields of :meth:`Trainer.state_dict`, and what each may be."""

NEW = ("best", "way")
"""Fields that checkpoints of earlier versions lack, all of them."""

NEWER = ("glanced",)
"""Fields that checkpoints of later versions may lack as well."""


class Stateful(Protocol):
    """Has a state that can be saved and loaded."""

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""


def resume(trainer: Trainer, run_dir: Path, identity: str | None) -> tuple[bool, list[str]]:
    """Give a trainer the state of the newest checkpoint that can be used; without one it stays as it is.

    Args:
        trainer: The run's trainer, at its start.
        run_dir: The run's folder.
        identity: The run's identity, which checkpoints must have. None: it is unknown, and every checkpoint counts.

    Returns:
        Whether there was such a checkpoint, and why newer ones were refused.

    Raises:
        CheckpointError: If there are checkpoints and none can be used, if there are none although there are metrics,
            or if the metrics are damaged.
    """

    def take(state: dict[str, Any], path: Path) -> None:
        check_identity(state, identity)
        _check(trainer, state)
        trainer.load_state_dict(state)

    state, refused = load_checkpoint(run_dir / "checkpoints", take)
    metrics = run_dir / METRICS
    if state is None and metrics.is_file() and metrics.stat().st_size:
        raise CheckpointError(
            f"{run_dir / 'checkpoints'}: there is no checkpoint, though {METRICS} holds generations; to train the run "
            f"again: torchpolicy train --config {run_dir / 'config.json'}"
        )
    if state is not None:
        read_rows(run_dir, state["env_steps"])
        if not trainer.algorithm.resumable and not trainer.reasons:
            raise CheckpointError(f"{run_dir}: cannot go on, because its optimizer has no state_dict to be saved by")
    return state is not None, refused


def _check(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """See that a trainer can take a state, without changing the trainer.

    Raises:
        ValueError: If it cannot. The message names the first field that is wrong.
    """
    older = not any(name in state for name in NEW)
    check_fields(state, STATE, [name for name in STATE if name not in (*NEWER, *(NEW if older else ()))])
    if len(state["budget"]) != len(trainer.plan.budget):
        raise ValueError(f"budget should have {len(trainer.plan.budget)} entries, got {len(state['budget'])}")
    _check_policy("policy", trainer, state["policy"])
    if state.get("best", {}).get("policy"):
        _check_policy("best", trainer, state["best"]["policy"])
        check_fields(state["best"], {"score": number()}, ())
    if "way" in state:
        _check_part("way", trainer.way, state["way"])
    _check_part("algorithm", trainer.algorithm, state["algorithm"])
    _check_part("diagnosis", trainer.watch.diagnosis, state["diagnosis"])


def _check_policy(name: str, trainer: Trainer, state: Mapping[str, Any]) -> None:
    """See that a trainer's policy can take a state.

    Raises:
        ValueError: If it cannot. The message begins with the state's name.
    """
    odd = [field for field, value in state.items() if not isinstance(value, Tensor)]
    problems = [f"{field} is no tensor" for field in odd] or misfits(trainer.policy, state)
    if problems:
        raise ValueError(f"{name}: {'; '.join(problems)}")


def _check_part(name: str, part: Stateful, state: Mapping[str, Any]) -> None:
    """See that a part of a trainer can take its state, by loading it and going back.

    Raises:
        ValueError: If it cannot. The message begins with the part's name.
    """
    before = part.state_dict()
    kinds = {field: LIKE[type(value)] for field, value in before.items() if type(value) in LIKE}
    kinds |= {field: kind for field, kind in OF_ALGORITHMS.items() if field in before and kind.fits(before[field])}
    try:
        check_fields(state, kinds, ())
        part.load_state_dict(dict(state))
    except Exception as error:  # a user's own algorithm may raise anything when its state is wrong
        raise ValueError(f"{name}: {str(error) or type(error).__name__}") from error
    finally:
        part.load_state_dict(before)
