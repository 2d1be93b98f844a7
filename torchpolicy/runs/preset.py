"""Tuned settings for an environment and an algorithm, ``presets/<algorithm>.toml``, beneath what the user gives."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from torchpolicy.runs.settings import DEFAULTS, PRESETTABLE, Settings

BUDGETS = ("generations", "total_steps", "seconds")


@cache
def presets_of(algorithm: str) -> dict[str, dict[str, Any]]:
    """Presets by environment; none for an algorithm without presets."""
    path = files("torchpolicy.runs") / "presets" / f"{algorithm}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def find_preset(algorithm: object, env: object) -> dict[str, Any]:
    """The preset of an algorithm for an environment, both given by name; empty if there is none."""
    return presets_of(algorithm).get(str(env), {}) if isinstance(algorithm, str) else {}


def with_preset(settings: Settings) -> tuple[Settings, str | None]:
    """Settings with what they leave open filled in, by a preset where there is one, and otherwise by the defaults.

    A preset is for the policy and the environment that it was tuned with: whoever brings a policy or changes the
    environment takes nothing of it.

    Returns:
        The settings, and the preset's name with what was taken from it; None where nothing was.
    """
    own = settings.policy is not None or settings.policy_args or settings.env_args
    usable = settings.preset and not own and settings.max_episode_steps is None
    preset = find_preset(settings.algorithm, settings.env) if usable else {}
    given = settings.some(PRESETTABLE) | {"target": "none" if settings.target is None else settings.target}
    filled, taken = settle(given | dict(settings.hyperparameters or {}), preset)
    known = {name: filled.pop(name) for name in PRESETTABLE}
    line = f"{settings.algorithm}/{settings.env}: {describe(taken)}" if taken else None
    return replace(settings, **known, hyperparameters=filled), line


def settle(given: Mapping[str, Any], preset: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All settings, and those of them that come from the preset.

    The user's value counts before the preset's, and the preset's before the default. Whoever gives a budget takes
    neither budget nor target from the preset, and whoever scales std takes no std.

    Args:
        given: The user's settings; None, or a target of ``"auto"``, where nothing was said.
        preset: The preset's settings; empty if there is none.
    """
    mine = {name: value for name, value in given.items() if value is not None}
    has_budget = any(name in mine for name in BUDGETS)
    taken = {
        name: value
        for name, value in preset.items()
        if (name not in mine or (name == "target" and mine[name] == "auto"))
        and not (has_budget and name in (*BUDGETS, "target"))
        and not (name == "std" and "std_scale" in mine)
    }
    return {**given, **DEFAULTS, **mine, **taken}, taken


def describe(settings: Mapping[str, Any]) -> str:
    """Settings in one line."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
