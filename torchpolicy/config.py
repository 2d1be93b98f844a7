"""``config.json``, what a run is: its fields, its identity, and that no name in it is taken for code."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torchpolicy.checkpoint import CheckpointError, read_json
from torchpolicy.fields import (
    FLAG,
    TABLE,
    TEXT,
    Kind,
    check_fields,
    list_of,
    maybe,
    number,
    one_of,
    record_of,
    table_of,
    whole,
)

FORMAT_VERSION = 1

CONFIG = "config.json"

MAY_CHANGE = (
    *("target", "generations", "total_steps", "seconds", "tolerance", "tolerance_generations"),
    *("checkpoint_seconds", "versions"),
)
"""Fields that a run may be given anew when it goes on."""

POLICY = record_of({"policy": TEXT, "policy_args": TABLE})
"""What a policy of ours is made from."""

FIELDS: dict[str, Kind] = {
    "format_version": one_of(FORMAT_VERSION),
    "env": TEXT,
    "env_args": TABLE,
    "max_episode_steps": maybe(whole(1)),
    "preset": maybe(TEXT),
    "algorithm": TEXT,
    "hyperparameters": TABLE,
    "policy": maybe(POLICY),
    "initial_weights": one_of("given", "of the seed"),
    "net": table_of(list_of(whole())),
    "seed": Kind("a whole number >= 0", lambda value: type(value) is int and value >= 0),
    "episodes": whole(1),
    "target": maybe(number()),
    "generations": maybe(whole(1)),
    "total_steps": maybe(whole(1)),
    "seconds": maybe(number(0)),
    "tolerance": maybe(number(0)),
    "tolerance_generations": whole(1),
    "reevaluate": whole(),
    "failed": one_of("dropped", "worst"),
    "survival_bonus": number(),
    "normalize_observations": FLAG,
    "eval_episodes": whole(1),
    "eval_every": whole(1),
    "checkpoint_seconds": number(0),
    "slots": whole(1),
    "backend": one_of("gymnasium", "native"),
    "compile": FLAG,
    "device": Kind("a device, as cpu or cuda:1", lambda value: re.fullmatch(r"[a-z]+(:\d+)?", str(value)) is not None),
    "versions": table_of(TEXT),
    "identity": TEXT,
    "checksum": TEXT,
}
"""All that a ``config.json`` has, and what each field may be."""

SINCE: dict[str, Any] = {"failed": "dropped"}
"""Fields that runs of earlier versions lack, and what holds for those runs."""

CODE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.-]*")
"""``pkg.mod:name``, and ``package:Env-v0``."""

NAMES = ("env", "algorithm", "policy", "policy.policy", "settings.policy")
"""Fields where whatever has a colon is code."""

PATHS = ("log_dir", "run_dir")


def read_config(run_dir: str | Path, needs: Iterable[str], given: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The configuration of a run.

    Args:
        run_dir: The run's folder.
        needs: Fields that have to be there.
        given: Where names in the file are to be used: what the caller gives in their place, by field.

    Raises:
        CheckpointError: If there is no such run, or the file is damaged or was changed.
        ValueError: If it names code that is not given.
    """
    path = Path(run_dir) / CONFIG
    if not Path(run_dir).is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    config = read_json(path)
    try:
        check_fields(SINCE | config, FIELDS, needs)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if given is not None:
        names = ("env", "algorithm", "policy", "env_args", "hyperparameters")
        refuse_code(path, {name: config[name] for name in names if name in config and given.get(name) is None})
    if was_edited(config):
        raise CheckpointError(
            f"{path}: was edited, or is damaged: its checksum is not that of its fields (a run takes another budget by "
            "torchpolicy resume --generations, other settings are for torchpolicy train --config)"
        )
    return SINCE | config


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a file with their own checksum as the last."""
    content = {name: value for name, value in fields.items() if name != "checksum"}
    return content | {"checksum": digest(content)}


def was_edited(fields: Mapping[str, Any]) -> bool:
    """Whether what was read has another checksum than its own; nothing is known of what has none."""
    return "checksum" in fields and sealed(fields) != fields


def digest(fields: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """16 digits for plain values, by name."""
    kept = {name: value for name, value in fields.items() if name not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def check_identity(state: Mapping[str, Any], identity: object) -> None:
    """Refuse the checkpoint of another run; where one of the two does not say whose it is, nothing is known.

    Raises:
        ValueError: If it is another's.
    """
    found = state.get("identity")
    if identity is not None and found is not None and found != identity:
        raise ValueError(f"is of another run: its identity is {found}, that of this run is {identity}")


def refuse_code(path: Path, taken: Mapping[str, Any]) -> None:
    """Refuse names of code in what is taken from a file: they come from the caller only.

    Raises:
        ValueError: With the field, and what to type instead.
    """
    for name, value in taken.items():
        for place, text in _texts(name, value):
            if name not in PATHS and (CODE.fullmatch(text) or (":" in text and place in NAMES)):
                raise ValueError(
                    f"{path}: {place} is code, {text!r}, and code is never taken from a file: {_again(place, text)}"
                )


def _again(place: str, text: str) -> str:
    """What to type for a name of code, by the place where it stood."""
    field, _, inner = place.partition(".")
    argument, text = place.rpartition(".")[2], text if text.isprintable() else "NAME"
    if field == "algorithm":
        return "name it again, torchpolicy train ALGO (in Python: algorithm=)"
    if field == "hyperparameters":
        return f"a new run takes it in Python, tp.train(..., {argument}=...)"
    if inner.startswith("policy_args"):
        option = f"--policy-args {argument}={text}"
        return f"a new run takes it, torchpolicy train ALGO {option} (in Python: policy_args=)"
    field = "policy" if field == "settings" else field
    text = f"{argument}={text}" if field.endswith("_args") else text
    return f"name it again, --{field.replace('_', '-')} {shlex.quote(text)} (in Python: {field}=)"


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """(place, text) of all texts in a value."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(place, item)
