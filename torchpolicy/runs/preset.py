"""Tuned settings per environment and algorithm, ``presets/<algorithm>.toml``, under what the user gives."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

DEFAULTS: dict[str, Any] = {
    "normalize_observations": None,  # as the policy does
    "episodes": None,  # the algorithm's
    "reevaluate": 0,
    "failed": "dropped",
    "survival_bonus": 0.0,
    "eval_episodes": 100,
    "eval_every": 10,
}
"""Of the run's settings that a preset may hold, beside the algorithm's own."""

BUDGETS = ("generations", "total_steps", "seconds")


@cache
def presets_of(algorithm: str) -> dict[str, dict[str, Any]]:
    """Settings by environment; none for an algorithm without presets."""
    path = files("torchpolicy.runs") / "presets" / f"{algorithm}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def find_preset(algorithm: object, env: object) -> dict[str, Any]:
    """The preset of an algorithm for an environment, both by name; empty if there is none."""
    return presets_of(algorithm).get(str(env), {}) if isinstance(algorithm, str) else {}


def settle(given: Mapping[str, Any], preset: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings, and those of them that come from the preset.

    A setting of the user's counts before the preset's, and that before the default. Who gives a budget
    takes neither budget nor target from the preset, and who scales std takes no std.

    Args:
        given: By the user; None, or a target of ``"auto"``, where nothing was said.
        preset: Settings of a preset; empty for none.
    """
    mine = {name: value for name, value in given.items() if value is not None}
    has_budget = any(name in mine for name in BUDGETS)
    taken = {
        name: value
        for name, value in preset.items()
        if (name not in mine or mine[name] == "auto")
        and not (has_budget and name in (*BUDGETS, "target"))
        and not (name == "std" and "std_scale" in mine)
    }
    return {**given, **DEFAULTS, **mine, **taken}, taken


def describe(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
