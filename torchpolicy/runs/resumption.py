"""Going on from the newest checkpoint of a run that is whole, of this run, and holds what it should."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import FLAG, TABLE, TEXT, Kind, check_fields, list_of, maybe, number, whole
from torchpolicy.base.storage import load_checkpoint
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
"""What a field of an algorithm's state may be, if it is that at the start."""

LIKE: dict[type, Kind] = {
    bool: FLAG,
    int: NUMBER,
    float: NUMBER,
    str: TEXT,
    list: Kind("a list", lambda value: isinstance(value, list)),
    dict: TABLE,
    Tensor: Kind("a tensor", lambda value: isinstance(value, Tensor)),
}
"""What a value of an algorithm or the diagnosis may be, by what it is at the start."""

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
    "algorithm": TABLE,
    "policy": TABLE,
}
"""The state of a trainer, and what each field may be."""


def resume(trainer: Trainer, run_dir: Path, identity: str | None) -> tuple[bool, list[str]]:
    """Bring a trainer to where the newest checkpoint that can be taken is; it stays as it is where there is none.

    Args:
        trainer: Of the run, at its start.
        run_dir: The run's folder.
        identity: The run's, which checkpoints have to be of.

    Returns:
        Whether there was one, and why newer ones were refused.

    Raises:
        CheckpointError: If there are checkpoints and none can be taken, none are left, or the metrics are damaged.
    """

    def take(state: dict[str, Any], path: Path) -> None:
        check_identity(state, identity)
        _check(trainer, state)
        trainer.load_state_dict(state)

    state, refused = load_checkpoint(run_dir / "checkpoints", take)
    metrics = run_dir / METRICS
    if state is None and metrics.is_file() and metrics.stat().st_size:
        raise CheckpointError(
            f"{run_dir / 'checkpoints'}: there is no checkpoint, though {METRICS} holds generations: to train the run "
            f"again, torchpolicy train --config {run_dir / 'config.json'}"
        )
    if state is not None:
        read_rows(run_dir, state["env_steps"])
    return state is not None, refused


def _check(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """See that a trainer can take a state, and change nothing.

    Raises:
        ValueError: With the field that it cannot take.
    """
    check_fields(state, STATE, STATE)
    if len(state["budget"]) != len(trainer.plan.budget):
        raise ValueError(f"budget should have {len(trainer.plan.budget)} entries, got {len(state['budget'])}")
    odd = [name for name, value in state["policy"].items() if not isinstance(value, Tensor)]
    problems = [f"{name} is no tensor" for name in odd] or misfits(trainer.policy, state["policy"])
    if problems:
        raise ValueError(f"policy: {'; '.join(problems)}")
    for part, what in (("algorithm", trainer.algorithm), ("diagnosis", trainer.watch.diagnosis)):
        before = what.state_dict()
        kinds = {name: LIKE[type(value)] for name, value in before.items() if type(value) in LIKE}
        kinds |= {name: kind for name, kind in OF_ALGORITHMS.items() if name in before and kind.fits(before[name])}
        try:
            check_fields(state[part], kinds, ())
            what.load_state_dict(state[part])
        except Exception as error:  # whatever an algorithm, which may be the user's own, makes of a wrong state
            raise ValueError(f"{part}: {str(error) or type(error).__name__}") from error
        finally:
            what.load_state_dict(before)
