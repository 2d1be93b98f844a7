"""Tuned settings for an algorithm, an environment and a kind of policy, beneath what the user gives.

They lie in ``presets/<algorithm>.toml``: a table for each environment, or several, one for each kind of policy.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from torchpolicy.envs.make import is_own_code
from torchpolicy.policies.make import usual_policy
from torchpolicy.runs.settings import DEFAULTS, PRESETTABLE, Settings

BUDGETS = ("generations", "total_steps", "seconds")


@cache
def presets_of(algorithm: str) -> dict[str, list[dict[str, Any]]]:
    """Presets by environment, one for each kind of policy, the best first; none for an algorithm without presets."""
    path = files("torchpolicy.runs") / "presets" / f"{algorithm}.toml"
    table = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {env: presets if isinstance(presets, list) else [presets] for env, presets in table.items()}


def find_preset(settings: Settings) -> dict[str, Any]:
    """The preset for a run; empty if there is none.

    A preset is for a kind of policy and the environment that it was tuned with. Whoever names a policy, or gives the
    units of its layers, takes the preset for such policies; whoever brings another policy, gives it other arguments or
    changes the environment takes none.
    """
    algorithm, env = settings.algorithm, settings.env
    changed = settings.env_args or settings.max_episode_steps is not None
    if not settings.preset or changed or not isinstance(algorithm, str) or not isinstance(env, str):
        return {}
    return next((each for each in presets_of(algorithm).get(env, []) if _fits(each, settings)), {})


def _fits(preset: Mapping[str, Any], settings: Settings) -> bool:
    """True if a preset is for the policy of a run, or the user has said nothing about the policy."""
    policy, args = settings.policy, settings.policy_args or {}
    if policy is None and not args:
        return True
    return set(args) <= {"hidden"} and (policy or usual_policy(args)) == kind_of(preset)


def kind_of(preset: Mapping[str, Any]) -> str:
    """Name of the policy that a preset is for."""
    name: str = preset.get("policy") or usual_policy(preset.get("policy_args", {}))
    return name


def with_preset(settings: Settings) -> tuple[Settings, str | None]:
    """Settings with what they leave open filled in, by a preset where there is one, and otherwise by the defaults.

    Returns:
        The settings, and the preset's name with what was taken from it; None where nothing was.
    """
    preset = find_preset(settings)
    given = settings.some(PRESETTABLE) | {"target": "none" if settings.target is None else settings.target}
    filled, taken = settle(given | dict(settings.hyperparameters or {}), preset)
    known = {name: filled.pop(name) for name in PRESETTABLE}
    if settings.policy_args:  # the preset's other arguments of the policy stay
        known["policy_args"] = preset.get("policy_args", {}) | dict(settings.policy_args)
    line = f"{settings.algorithm}/{settings.env}: {describe(taken)}" if taken else None
    return replace(settings, **known, hyperparameters=filled), line


def without_preset(
    settings: Settings, config: Mapping[str, Any], population: int | None, algorithms: Iterable[str]
) -> str | None:
    """A line that says that there is no preset for a run, or why it is not used, and what the run takes instead.

    Args:
        settings: The user's settings.
        config: The configuration of the run.
        population: P, candidates in a generation; None for a learner.
        algorithms: Names of all algorithms.

    Returns:
        The line; None if a preset is used, the user wants none, or the environment is the user's own.
    """
    algorithm, env = settings.algorithm, settings.env
    if not (settings.preset and isinstance(algorithm, str) and isinstance(env, str)) or is_own_code(env):
        return None
    if find_preset(settings):
        return None
    if env in presets_of(algorithm):
        kinds = " or ".join(dict.fromkeys(kind_of(each) for each in presets_of(algorithm)[env]))
        why = f"the preset of {algorithm} for {env} is for the unchanged environment with the policy {kinds}"
        why += ", and is not used here: the run"
    else:
        others = [name for name in algorithms if env in presets_of(name)]
        known = f" (there is one of {', '.join(others)})" if others else ""
        why = f"no preset of {algorithm} for {env}{known}, so it"
    taken = {"policy": config["policy"]["policy"]} | config["policy"]["policy_args"] if config["policy"] else {}
    taken |= {"population": population, "learning_rate": config["hyperparameters"].get("learning_rate")}
    taken |= {name: config[name] for name in ("episodes", *BUDGETS)}
    words = describe({name: value for name, value in taken.items() if value is not None})
    return f"{why} takes {words}"


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
