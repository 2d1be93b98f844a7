"""Reading and checking ``config.json``, which says what a run is; no name in it is ever taken for code."""

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import (
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
from torchpolicy.base.files import read_json
from torchpolicy.base.version import FORMAT_VERSION, check_format

CONFIG = "config.json"

POLICY = record_of({"policy": TEXT, "policy_args": TABLE})
"""Name and arguments of one of the package's own policies."""

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
    "episodes": Kind("a whole number >= 1 or auto", lambda value: value == "auto" or whole(1).fits(value)),
    "target": maybe(number()),
    "generations": maybe(whole(1)),
    "total_steps": maybe(whole(1)),
    "seconds": maybe(number(0)),
    "tolerance": maybe(number(0)),
    "tolerance_generations": whole(1),
    "actions": one_of("greedy", "sampled"),
    "action_std": maybe(number(0)),
    "reevaluate": whole(),
    "failed": one_of("dropped", "worst"),
    "step_penalty": number(),
    "stop_early": FLAG,
    "normalize_observations": FLAG,
    "eval_episodes": whole(1),
    "eval_every": whole(1),
    "keep": one_of("best", "last"),
    "restarts": FLAG,
    "checkpoint_seconds": number(0),
    "slots": whole(1),
    "backend": one_of("gymnasium", "native", "vector", "envpool"),
    "starts": one_of("of the seed", "of the simulator"),
    "compile": FLAG,
    "device": Kind("a device, as cpu or cuda:1", lambda value: re.fullmatch(r"[a-z]+(:\d+)?", str(value)) is not None),
    "versions": table_of(TEXT),
    "identity": TEXT,
    "checksum": TEXT,
}
"""All fields of a ``config.json``, and what each may be."""

SINCE: dict[str, Any] = {
    "action_std": None,
    "actions": "greedy",
    "failed": "dropped",
    "keep": "last",
    "restarts": False,
    "starts": "of the seed",
    "stop_early": False,
}
"""Fields that runs of earlier versions lack, and the values that those runs had."""

SINCE_HYPERPARAMETERS: dict[str, Any] = {
    "clip": 0.2,
    "elite": "episodes",
    "epochs": 1,
    "optimizer_args": None,
    "starts": None,
    "temperature": 0.5,
    "weight_decay": 0.0,
}
"""The same for hyperparameters, of the algorithms that have them."""

GONE_HYPERPARAMETERS: dict[str, Any] = {"per_start": False}
"""Hyperparameters of earlier versions, and the values with which they did nothing."""

OLD_NAMES = {"survival_bonus": "step_penalty"}
"""Settings by the names that they had in earlier versions, which are still understood."""

CODE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.-]*")
"""Names that would import code: ``pkg.mod:name`` and ``package:Env-v0``."""

NAMES = ("env", "algorithm", "policy", "policy.policy", "settings.policy")
"""Fields in which every text with a colon counts as code."""

PATHS = ("log_dir", "run_dir")
"""Fields that hold a path, in which a colon means nothing."""


def read_config(run_dir: str | Path, needs: Iterable[str], given: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The configuration of a run.

    Args:
        run_dir: The run's folder.
        needs: Fields that must be there.
        given: Values, by field, that the caller uses instead of the file's. If this is not None, the file is refused
            when a field that is not given names code.

    Raises:
        CheckpointError: If there is no such run, or the file is damaged or was changed.
        ValueError: If the file names code that is not given.
    """
    path = Path(run_dir) / CONFIG
    if not Path(run_dir).is_dir():
        raise CheckpointError(f"{run_dir}: no such run folder")
    runs = (each for below in ("*", "*/*") for each in Path(run_dir).glob(f"{below}/{CONFIG}"))
    within = [] if path.exists() else sorted(each.parent for each in runs)
    if within:
        count = f"{len(within)} run{'s' if len(within) > 1 else ''}"
        raise CheckpointError(f"{run_dir}: holds {count}, and is none itself: name one, such as {within[0]}")
    config = read_json(path)
    try:
        check_config_format(config)
        check_fields(modern(config), FIELDS, needs)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    if given is not None:
        names = ("env", "algorithm", "policy", "env_args", "hyperparameters")
        refuse_code(path, {name: config[name] for name in names if name in config and given.get(name) is None})
    unknown = config.keys() - FIELDS.keys() - OLD_NAMES.keys()
    if was_edited(config) or (unknown and "checksum" not in config):  # which may be the damaged name of the checksum
        raise CheckpointError(
            f"{path}: was edited, or is damaged: its checksum is not that of its fields (to give a run another budget, "
            "use torchpolicy resume --generations; to train with other settings, torchpolicy train --config)"
        )
    return modern(config)


def modern(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as this version would have written it: fields by their new names, and none missing."""
    named = {OLD_NAMES.get(name, name): value for name, value in config.items()}
    if isinstance(given := named.get("hyperparameters"), dict):
        kept = {name: value for name, value in given.items() if GONE_HYPERPARAMETERS.get(name, ...) is not value}
        named["hyperparameters"] = kept
    return named | {name: value for name, value in SINCE.items() if name not in named}


def check_config_format(config: Mapping[str, Any]) -> None:
    """Refuse a configuration that a newer version wrote in another format.

    Raises:
        ValueError: If it did. The message names both versions.
    """
    versions = config.get("versions")
    check_format(config, versions.get("torchpolicy") if isinstance(versions, dict) else None)


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file, followed by their checksum."""
    content = {name: value for name, value in fields.items() if name != "checksum"}
    return content | {"checksum": digest(content)}


def was_edited(fields: Mapping[str, Any]) -> bool:
    """Whether fields that were read do not fit their checksum. False if they have none, for then nothing is known."""
    return "checksum" in fields and sealed(fields) != fields


def digest(fields: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """A hash of plain values by name, 16 hexadecimal digits, with some fields left out."""
    kept = {name: value for name, value in fields.items() if name not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def check_identity(state: Mapping[str, Any], identity: object) -> None:
    """Refuse the checkpoint of another run. If the checkpoint or the run has no identity, nothing is refused.

    Raises:
        ValueError: If the two identities differ.
    """
    found = state.get("identity")
    if identity is not None and found is not None and found != identity:
        raise ValueError(f"belongs to another run: its identity is {found}, that of this run is {identity}")


def refuse_code(path: Path, taken: Mapping[str, Any]) -> None:
    """Refuse names of code in values that are taken from a file: such names come from the caller only.

    Raises:
        ValueError: If a value names code. The message says which field it is and which option to type.
    """
    for name, value in taken.items():
        for place, text in _texts(name, value):
            if name not in PATHS and (CODE.fullmatch(text) or (":" in text and place in NAMES)):
                raise ValueError(
                    f"{path}: {place} is code, {text!r}, and code is never taken from a file: {_again(place, text)}"
                )


def _again(place: str, text: str) -> str:
    """The words that tell what to type instead of a name of code, by the place where it stood."""
    field, _, inner = place.partition(".")
    argument, text = place.rpartition(".")[2], text if text.isprintable() else "NAME"
    if field == "algorithm":
        return "name it again, torchpolicy train ALGO (in Python: algorithm=)"
    if field == "hyperparameters":
        return f"a new run takes it in Python, tp.train(..., {argument}=...)"
    if inner.startswith("policy_args"):
        option = f"--policy-args {argument}={text}"
        return f"a new run takes it, torchpolicy train ALGO {option} (in Python: policy_args=)"
    if text.startswith("__main__:"):
        return "run its script again, with the same run_dir, or define it in a module that can be imported"
    field = "policy" if field == "settings" else field
    text = f"{argument}={text}" if field.endswith("_args") else text
    return f"name it again, --{field.replace('_', '-')} {shlex.quote(text)} (in Python: {field}=)"


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """All texts in a value, each as (place, text), where the place is the text's path such as ``env_args.name``."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict) and value.keys() == {"is"}:  # only describes an object
        return
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(f"{place}.{key}", item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(place, item)
