"""Search for good hyperparameters, with several seeds for each trial."""

import json
import shlex
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from torchpolicy.cli.base import as_options, parse, parse_pairs, settings_options
from torchpolicy.many.seeds import seeds_in_words
from torchpolicy.many.sweep import Sweep, sweep
from torchpolicy.policies.make import policy_names
from torchpolicy.runs.algorithms import algorithm_class, algorithm_names
from torchpolicy.runs.settings import PRESETTABLE, Settings

ABOUT = """Search for the hyperparameters with the best held-out scores, chosen by Optuna.

Every trial trains with each of the seeds, and each of these runs has a folder of its own. A trial is stopped after some
of its seeds if it is worse than most trials were by then. If the sweep is interrupted, the same command goes on. If the
command is started several times at once, also on other machines that share the folder, all of them work on one sweep.
The seeds of a sweep are for tuning, so report results with others.

For example: torchpolicy sweep snes --env LunarLanderContinuous-v3 --total-steps 200000 --param std_scale=0.1..1
--param learning_rate=log:0.01..1 --trials 40 --seeds 100-103
"""

LEFT_OUT = ("algorithm", "seed", "hyperparameters", "callbacks", "writers", "strict", "compile")
"""Settings that are no options of this command."""

TEXTS = {
    "env": "Environment: a Gymnasium id, or pkg.mod:callable for one of your own. Required.",
    "policy": f"Policy: {', '.join(policy_names())}, or one of your own as pkg.mod:factory. If not set: the preset's "
    "policy, or linear if there is none.",
    "normalize_observations": "Bring observations to mean 0 and std 1, as measured in training. Off unless the preset "
    "does it.",
    "target": "Held-out score at which a run stops: a number, none, or auto. If not set, it is none, so that all runs "
    "use up their budget.",
    "run_dir": "Folder of the sweep, instead of one in --log-dir. If it already holds a sweep of the same settings, "
    "that one goes on.",
}
"""Help for settings that mean something else in a sweep."""


@as_options
class SweepOptions:
    """What is tried."""

    algorithm: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ALGO")]
    """The search or learner whose hyperparameters are searched for."""
    param: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=RANGE")] = field(
        default=()
    )
    """A hyperparameter or setting, and what it may be: std_scale=0.1..1 for numbers in a range, which are whole if both
    ends are; learning_rate=log:0.001..0.3 where factors count; episodes=1,4,16 for some values; population=64 for one
    value in all trials. The option is given once for each of them."""
    trials: int = 40
    """Number of trials, in all processes that work on the sweep."""
    seeds: str = "100-103"
    """Seeds of every trial, such as 100-103 or 100,105."""
    jobs: int | None = None
    """Number of runs at a time. If not set, it is the number of cores."""
    write_preset: Path | None = None
    """File to which the best settings are added as a preset, a table in TOML, which torchpolicy train takes with
    --config."""


def run(arguments: list[str]) -> None:
    """``torchpolicy sweep ALGO --env ENV --param …``."""
    chosen = [each.name for each in fields(Settings) if each.name not in LEFT_OUT]
    settings = settings_options(chosen, open_by_default=True, **TEXTS)
    kind: Any = make_dataclass("Sweep", settings, bases=(SweepOptions,), namespace={"__doc__": ABOUT}, kw_only=True)
    options = parse(as_options(kind), "torchpolicy sweep", arguments)
    algorithm_class(options.algorithm)  # which refuses a name that it does not know
    given = {name: getattr(options, name) for name in chosen if getattr(options, name) is not None}
    for name in {"env_args", "policy_args"} & given.keys():
        given[name] = parse_pairs(f"--{name.replace('_', '-')}", given[name])
    if "env" not in given:
        known = ", ".join(algorithm_names())
        raise ValueError(f"sweep where? name an environment with --env: a Gymnasium id, or pkg.mod:callable ({known})")
    seeds = seeds_in_words(options.seeds)
    tried = {"params": options.param, "trials": options.trials, "seeds": seeds, "jobs": options.jobs}
    found = sweep(algorithm=options.algorithm, **tried, **given)
    _print(found, options.algorithm, given)
    if options.write_preset is not None:
        kept = {name: value for name, value in given.items() if name in PRESETTABLE}
        write_preset(options.write_preset, given["env"], {"target": "none"} | kept | found.best)
        own = shlex.quote(str(options.write_preset))
        print(f"preset {own}: torchpolicy train {options.algorithm} --env {given['env']} --config {own}")


def _print(found: Sweep, algorithm: str, given: dict[str, Any]) -> None:
    """Print the best trials, and what to type next."""
    names = list(found.best)
    scored = sorted((row for row in found.trials if row["score"] is not None), key=lambda row: -row["score"])
    print("  ".join(["trial", f"{'score':>10}", *(f"{name:>12}" for name in names)]))
    for row in scored[:10]:
        words = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in (row[name] for name in names)]
        stopped = "  (stopped early)" if row["stopped"] else ""
        print("  ".join([f"{row['trial']:5}", f"{row['score']:10.4g}", *(f"{word:>12}" for word in words)]) + stopped)
    kept = {name: value for name, value in given.items() if name not in ("log_dir", "run_dir", "workers")}
    options = " ".join(_option(name, value) for name, value in (kept | found.best).items())
    print(f"best   {found.score:.4g}, the mean over the seeds of the sweep")
    print(f"runs   {found.run_dir}")
    print(f"next   torchpolicy train {algorithm} {options} --seeds 0-9")


def _option(name: str, value: Any) -> str:
    """A setting as an option of ``torchpolicy train``."""
    option = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    if isinstance(value, dict):
        return " ".join([f"--{option}", *(shlex.quote(f"{key}={item}") for key, item in value.items())])
    return f"--{option} {f'{value:.4g}' if isinstance(value, float) else shlex.quote(str(value))}"


def write_preset(path: Path, env: str, settings: dict[str, Any]) -> None:
    """Add a table for an environment to a file of presets, as in ``torchpolicy/runs/presets``."""
    lines = [f"[[{json.dumps(env)}]]", *(f"{name} = {_toml(value)}" for name, value in settings.items())]
    before = path.read_text(encoding="utf-8").rstrip() + "\n\n" if path.exists() else ""
    path.write_text(before + "\n".join(lines) + "\n", encoding="utf-8")


def _toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(item)}' for name, item in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value) if isinstance(value, bool | str) else repr(value)
