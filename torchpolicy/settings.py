"""A run's settings from a file: a TOML that the user wrote, or the ``config.json`` of a run."""

import json
import tomllib
from pathlib import Path
from typing import Any

from torchpolicy.catalog import suggestion
from torchpolicy.runs import name_of

RECORDED = (
    *("env_args", "backend", "compile", "device", "max_episode_steps", "seed", "target", "generations", "total_steps"),
    *("seconds", "tolerance", "tolerance_generations", "normalize_observations", "episodes", "reevaluate"),
    *("survival_bonus", "eval_episodes", "eval_every", "checkpoint_seconds"),
)
"""Fields of ``config.json`` that are keywords of :func:`torchpolicy.train` as they are."""

FOR_THE_RECORD = ("format_version", "preset", "initial_weights", "net", "slots", "versions")
"""Those that only say what came of it."""

KNOWN = ("env", "algorithm", "hyperparameters", "policy", "policy_args", *RECORDED)

OF_THE_ENVIRONMENT = ("env_args", "backend", "max_episode_steps", "target")
"""Those that do not go with another environment."""

ELSEWHERE = ("preset", "workers", "strict", "log_dir", "run_dir")
"""What a TOML may say besides."""


def read_settings(path: str | Path, **given: Any) -> dict[str, Any]:
    """Keywords for :func:`torchpolicy.train`: ``tp.train(**tp.read_settings("run.toml", seed=1))``.

    A TOML has them by their names, with the algorithm's own in a table ``[hyperparameters]``. From the
    ``config.json`` of a run come all its settings, so that training gives the same bits again; but names of code in
    it are not taken, and weights that the run was given are not there.

    Args:
        path: The file.
        **given: Keywords that count before the file's.

    Raises:
        ValueError: If the file cannot be read, holds an unknown key, or needs `env` or `policy` beside it.
    """
    path = Path(path)
    table = _read(path)
    if path.suffix == ".json":
        settings = _of_run(path, table, given)
    else:
        _check(path, table, (*KNOWN, *ELSEWHERE))
        hyperparameters = table.pop("hyperparameters", {})
        odd = [name for name in hyperparameters if name in (*KNOWN, *ELSEWHERE)]
        if odd:
            raise ValueError(f"{path}: {', '.join(odd)} is no hyperparameter: it stands above the tables")
        settings = table | hyperparameters
    for whole, args in (("policy", "policy_args"), ("env", "env_args")):
        if whole not in given or name_of(given[whole]) == settings.get(whole):  # else the file's are of another
            given = given | ({args: settings.get(args, {}) | given[args]} if args in given else {})
        else:
            settings.pop(args, None)
    settings |= given
    for name in ("env", "algorithm"):
        if name not in settings:
            raise ValueError(f"{path}: lacks {name}")
    return settings


def algorithm_in(path: str | Path) -> object:
    """The algorithm that a file of settings names, if it does."""
    return _read(Path(path)).get("algorithm")


def _of_run(path: Path, config: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, whose preset has been taken in."""
    _check(path, config, (*KNOWN, *FOR_THE_RECORD))
    missing = [name for name in ("env", "algorithm", "policy", "initial_weights", *RECORDED) if name not in config]
    if missing:
        raise ValueError(f"{path}: lacks {', '.join(missing)}: is it the config.json of a run?")
    if ":" in config["env"] and "env" not in given:
        raise ValueError(
            f"{path}: the run was in an environment of your own, or a package's: name it again, --env {config['env']}"
        )
    if config["policy"] is None and "policy" not in given:
        raise ValueError(f"{path}: the run's policy was of your own: name it with --policy")
    if config["initial_weights"] == "given" and "policy" not in given:
        raise ValueError(f"{path}: the run began with weights that it was given: name them with --from, or policy=")
    both = (config["hyperparameters"] | config["env_args"]).items()
    lost = [name for name, value in both if isinstance(value, dict) and "is" in value]
    if lost:
        raise ValueError(f"{path}: {', '.join(lost)} of the run was an object, which the file does not hold")
    settings: dict[str, Any] = {name: config[name] for name in ("env", "algorithm", *RECORDED)}
    settings |= config["hyperparameters"] | (config["policy"] or {}) | {"preset": False}
    if "env" in given and name_of(given["env"]) != config["env"]:
        settings = {name: value for name, value in settings.items() if name not in OF_THE_ENVIRONMENT}
    return settings


def _read(path: Path) -> dict[str, Any]:
    """A table, with tables where tables should be."""
    try:
        text = path.read_text(encoding="utf-8")
        found: object = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: {reason}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected a table of settings, got {type(found).__name__}")
    table = dict(found)
    for name in ("hyperparameters", "env_args", "policy_args"):
        if not isinstance(table.get(name, {}), dict):
            raise ValueError(f"{path}: {name} should be a table, got {table[name]!r}")
    return table


def _check(path: Path, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"{path}: unknown key {key!r}{suggestion(key, known)} (hyperparameters have a table)")
