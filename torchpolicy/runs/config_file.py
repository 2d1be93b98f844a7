"""A run's settings from a file: a TOML that the user wrote, or the ``config.json`` of a run."""

import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

from torchpolicy.base.checks import suggestion
from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import check_fields, shown
from torchpolicy.base.files import check_depth, read_json
from torchpolicy.output.config import FIELDS, OLD_NAMES, check_config_format, modern, refuse_code, was_edited
from torchpolicy.runs.folder import name_of
from torchpolicy.runs.settings import RECORDED, Settings

FOR_THE_RECORD = (
    *("format_version", "preset", "initial_weights", "net", "slots", "starts", "versions", "identity", "checksum"),
)
"""Fields of ``config.json`` that only say what came of the settings."""

KNOWN = tuple(each.name for each in fields(Settings) if each.name not in ("callbacks", "writers"))
"""Settings that a file may hold."""

IN_CONFIG = ("env", "algorithm", "hyperparameters", "policy", *RECORDED)
"""Settings that ``config.json`` holds."""

OF_THE_ENVIRONMENT = ("env_args", "backend", "max_episode_steps", "target")
"""Settings that do not go with another environment."""


def read_settings(path: str | Path, **given: Any) -> dict[str, Any]:
    """Keywords for :func:`torchpolicy.train`: ``tp.train(**tp.read_settings("run.toml", seed=1))``.

    A TOML has them by their names, with the algorithm's own in a table ``[hyperparameters]``. From the
    ``config.json`` of a run come all its settings, so that training gives the same bits again, but not the weights that
    the run was given. From a file of presets, as ``torchpolicy sweep --write-preset`` writes it, comes the last one for
    `env`, which is given beside the file, as is the algorithm. Names of code are taken from none of them.

    Args:
        path: The file.
        **given: Keywords that count before the file's.

    Returns:
        The keywords, in which `given` has replaced those of the file.

    Raises:
        ValueError: If the file cannot be read, holds an unknown key, names code, or needs `env` or `policy` beside it.
    """
    path = Path(path)
    table = _read(path)
    odd = [name for name in table.get("hyperparameters", {}) if name in KNOWN]
    if odd:
        raise ValueError(f"{path}: {', '.join(odd)} is no hyperparameter: it stands above the tables")
    if path.suffix == ".json":
        settings = _of_run(path, table, given)
    elif _holds_presets(table):
        settings = _of_preset(path, table, given)
    else:
        table = {OLD_NAMES.get(name, name): value for name, value in table.items()}
        _check(path, table, KNOWN)
        hyperparameters = table.pop("hyperparameters", {})
        settings = table | hyperparameters
    for whole, args in (("policy", "policy_args"), ("env", "env_args")):
        if whole in given and name_of(given[whole]) != settings.get(whole):  # those of the file are of another
            settings.pop(args, None)
        elif args in given:
            settings[args] = {name: value for name, value in settings.get(args, {}).items() if name not in given[args]}
    refuse_code(path, {name: value for name, value in settings.items() if name not in given or name.endswith("_args")})
    if "optimizer" in given:
        settings.pop("optimizer_args", None)
    for args in ("env_args", "policy_args", "optimizer_args"):
        if not isinstance(settings.get(args), dict | None):
            raise ValueError(f"{path}: {args} should be a table, got {shown(settings[args])}")
    given = given | {args: (settings.get(args) or {}) | given[args] for args in given if args.endswith("_args")}
    settings |= given
    for name in ("env", "algorithm"):
        if name not in settings:
            raise ValueError(f"{path}: lacks {name}")
    return settings


def algorithm_in(path: str | Path) -> str | None:
    """The algorithm that a file of settings names, if it does."""
    path = Path(path)
    algorithm = _read(path).get("algorithm")
    if not isinstance(algorithm, str | None) or (path.suffix == ".json" and algorithm is None):
        raise ValueError(f"{path}: algorithm should be a name, got {shown(algorithm)}")
    refuse_code(path, {"algorithm": algorithm})
    return algorithm


def _of_run(path: Path, config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, whose preset has been taken in."""
    edited, config = was_edited(config), modern(config)
    try:
        check_config_format(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    _check(path, config, (*IN_CONFIG, *FOR_THE_RECORD))
    try:
        check_fields(config, FIELDS, ("env", "algorithm", "policy", "initial_weights", *RECORDED, "hyperparameters"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if edited:
        print(f"{path}: was edited, or is damaged: this trains what it says now, not its run again", file=sys.stderr)
    if config["policy"] is None and "policy" not in given:
        raise ValueError(
            f"{path}: the policy is around a module of your own: name it again, --policy pkg.mod:factory "
            "(in Python: policy=)"
        )
    if config["initial_weights"] == "given" and "policy" not in given:
        raise ValueError(f"{path}: the run began with weights that it was given: name them with --from, or policy=")
    both = (config["hyperparameters"] | config["env_args"] | given.get("env_args", {})).items()
    lost = [name for name, value in both if isinstance(value, dict) and "is" in value and name not in given]
    if lost:
        raise ValueError(f"{path}: {', '.join(lost)} of the run was an object, which the file does not hold")
    settings: dict[str, Any] = {name: config[name] for name in ("env", "algorithm", *RECORDED)}
    settings |= config["hyperparameters"] | (config["policy"] or {}) | {"preset": False}
    if "env" in given and name_of(given["env"]) != config["env"]:
        settings = {name: value for name, value in settings.items() if name not in OF_THE_ENVIRONMENT}
    return settings


def _holds_presets(table: dict[str, Any]) -> bool:
    """True for arrays of tables, which no setting is."""
    arrays = [isinstance(value, list) and all(isinstance(each, dict) for each in value) for value in table.values()]
    return bool(arrays) and all(arrays)


def _of_preset(path: Path, table: dict[str, list[dict[str, Any]]], given: dict[str, Any]) -> dict[str, Any]:
    """The last preset for the environment that is given."""
    env = given.get("env")
    found = table.get(env) if isinstance(env, str) else None
    if not found:
        raise ValueError(f"{path}: has presets for {', '.join(table)}: name one of them with --env, got {env}")
    return dict(found[-1])


def _read(path: Path) -> dict[str, Any]:
    """A table, with tables where tables should be."""
    if path.suffix == ".json":
        table = read_json(path)
    else:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
            check_depth(table)
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error
    for name in ("hyperparameters", "env_args", "policy_args"):
        if not isinstance(table.get(name, {}), dict):
            raise ValueError(f"{path}: {name} should be a table, got {shown(table[name])}")
    return table


def _check(path: Path, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{path}: unknown key {key!r}{suggestion(key, known)} (hyperparameters have a table)")
