"""A run that was put together and checked, before anything of it is started."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite, nan
from typing import Any

import torch

from torchpolicy.base.checks import check_seed
from torchpolicy.base.device import find_device
from torchpolicy.base.memory import check_memory, enough_memory
from torchpolicy.base.processes import PATIENCE
from torchpolicy.base.products import note_on_rounding
from torchpolicy.base.user_code import no_exit
from torchpolicy.base.vigil import Vigil
from torchpolicy.envs.base import Environment, EnvSlots
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.probe import check_environment
from torchpolicy.learn.base import Learner
from torchpolicy.output.writers.base import MakesWriter
from torchpolicy.output.writers.make import check_writers
from torchpolicy.policies.base import Policy
from torchpolicy.policies.make import make_policy
from torchpolicy.rollout.make import check_compile, check_stopping, choose_slots
from torchpolicy.rollout.probe import check_policy
from torchpolicy.runs.algorithms import (
    Algorithm,
    algorithm_class,
    check_hyperparameters,
    check_place,
    hyperparameters_of,
    make_algorithm,
)
from torchpolicy.runs.folder import name_of
from torchpolicy.runs.hints import own_code
from torchpolicy.runs.settings import Settings
from torchpolicy.search.base import Search
from torchpolicy.training.callbacks import Callback
from torchpolicy.training.calling import check_callbacks
from torchpolicy.training.plan import Plan
from torchpolicy.vectors.low_rank import numbers_each
from torchpolicy.vectors.params import ParamVector

DEFAULT_TOTAL_STEPS = 1_000_000
"""Budget of environment steps of a run that was given no budget at all."""

FEW = 4
"""Episodes of a candidate that play side by side where their number changes."""

VECTORS = 36
"""Vectors as long as the policy's weights that a run holds at its peak: the search's, a checkpoint's and so on. It was
measured."""


@dataclass(frozen=True)
class Job:
    """Everything that a run consists of.

    Attributes:
        environment: The environment that episodes are played in.
        policy: The policy that is trained.
        algorithm: The search or learner that improves the policy.
        plan: When the run ends, and how it is scored.
        slots: Episodes that the rollout plays side by side.
        compile: Whether the rollout is compiled.
        callbacks: The user's callbacks.
        writers: What makes the user's writers.
        noise_rank: Rank of the search's noise; None for noise of its own in each weight.
        memory: Bytes that the run will take, about, in addition to torch's own.
        config: All of it as plain values, for ``config.json``.
        code: The `env` and `policy` that the user gave; None for a policy that the run's files can make again.
        notes: Lines to tell the user at the start.
        identity: Identity of the run in its folder; None while it has no folder.
        step_timeout: Seconds of one step of the environment after which its process counts as hung; None for no limit.
        patience: Seconds for which another process may give no sign of life before it counts as lost.
        untuned: A line for the user if there is no preset for the run; None if there is, or none was wanted.
    """

    environment: Environment
    policy: Policy
    algorithm: Algorithm
    plan: Plan
    slots: int
    compile: bool
    callbacks: Sequence[Callback]
    writers: Sequence[MakesWriter]
    noise_rank: int | None
    memory: int
    config: dict[str, Any]
    code: dict[str, object]
    notes: Sequence[str]
    step_timeout: float | None = None
    patience: float = PATIENCE
    identity: str | None = None
    untuned: str | None = None


@enough_memory()
@no_exit()
def make_job(settings: Settings, *, preset: str | None, weights_given: bool) -> Job:
    """Put a run together from its settings.

    Args:
        settings: The settings, with presets and defaults filled in.
        preset: Name of the preset and the settings taken from it, for the record.
        weights_given: Whether the run begins with weights, or a search, that no seed makes again.

    Raises:
        ValueError: If a setting is unknown, out of range, or does not fit the others.
    """
    check_seed(settings.seed)
    callbacks, writers = check_callbacks(settings.callbacks), check_writers(settings.writers)
    kind = _kind_of(settings)
    environment = make_environment(settings.env, settings.env_args, settings.max_episode_steps, settings.backend)
    device = find_device(str(settings.device))
    if settings.compile:
        check_compile(environment, device)
    _check_candidates(settings, kind)
    if settings.stop_early:
        check_stopping(environment)
    check_place(settings.algorithm, device)
    policy = _policy_of(settings, environment, device)
    plan = _plan_of(settings, kind, environment, policy)
    if plan.normalize_observations:
        policy.normalize()
    elif policy.normalizer is not None:
        raise ValueError("normalize_observations is False, and the policy normalises observations")
    vector = ParamVector(policy.net)
    check_memory(VECTORS * vector.dim * vector.dtype.itemsize, 1, device)  # before trying it out, which takes some
    check_policy(policy, environment.first_observation)
    given = settings.hyperparameters or {}
    algorithm = make_algorithm(settings.algorithm, given, policy, settings.seed, restarts=bool(settings.restarts))
    if isinstance(algorithm, Learner):
        _check_starts(algorithm, plan, environment)
    slots = _slots_of(settings, algorithm, plan, environment, policy)
    config = {
        "preset": preset,
        "initial_weights": "given" if weights_given else "of the seed",
        "slots": slots,
        **_record(settings, algorithm, environment, policy, plan),
    }
    return Job(
        environment,
        policy,
        algorithm,
        plan,
        slots,
        settings.compile,
        callbacks,
        writers,
        algorithm.noise_rank,
        _memory(algorithm, vector, slots),
        config,
        _code_of(settings, policy),
        _notes(environment, strict=settings.strict),
        settings.step_timeout,
        settings.patience,
    )


def _kind_of(settings: Settings) -> type[Algorithm]:
    """The class of the algorithm, whose hyperparameters are known to be those that were given."""
    algorithm = settings.algorithm
    if not isinstance(algorithm, str | Algorithm):
        raise ValueError(f"algorithm must be a name, a search or a learner, got {algorithm!r}")
    kind = algorithm_class(algorithm) if isinstance(algorithm, str) else type(algorithm)
    check_hyperparameters(kind, settings.hyperparameters or {})
    return kind


def _check_candidates(settings: Settings, kind: type[Algorithm]) -> None:
    """Refuse settings of candidates for an algorithm that has none."""
    asked = settings.reevaluate or settings.step_penalty or settings.failed != "dropped"
    asked = asked or settings.restarts or settings.stop_early or settings.actions != "greedy"
    if asked and not kind.has_candidates:
        names = "actions, reevaluate, step_penalty, failed, restarts and stop_early"
        raise ValueError(f"{kind.__name__} has no candidates: {names} are for searches")


def _policy_of(settings: Settings, environment: Environment, device: torch.device) -> Policy:
    """The policy to train, on its device."""
    policy = make_policy(_given_policy(settings), settings.policy_args or {}, environment.spaces, settings.seed)
    if policy.device.type != "cpu" and policy.device != device:
        raise ValueError(f"the policy is on {policy.device}, the run on {device}: say device={str(policy.device)!r}")
    if settings.action_std is not None:
        policy.head.set_std(settings.action_std)
    return policy.to(device)


def _given_policy(settings: Settings) -> Any:
    """The policy that the user gave; a learner brings its own."""
    if settings.policy is None and isinstance(settings.algorithm, Learner):
        return settings.algorithm.policy
    return settings.policy


def _plan_of(settings: Settings, kind: type[Algorithm], environment: Environment, policy: Policy) -> Plan:
    """When the run ends, and how it is scored: the settings of that kind, with what depends on the others."""
    chosen = {each.name: getattr(settings, each.name) for each in fields(Plan)}
    goal = None
    if settings.generations is settings.total_steps is settings.seconds is None:
        chosen["total_steps"], goal = DEFAULT_TOTAL_STEPS, environment.reward_threshold
    if settings.episodes is None:
        chosen["episodes"] = kind.episodes
    elif settings.episodes == "auto" and not kind.has_candidates:
        raise ValueError(f"{kind.__name__} has no candidates: episodes='auto' is for searches")
    if settings.normalize_observations is None:
        chosen["normalize_observations"] = policy.normalizer is not None
    return Plan(**chosen | {"target": _target_of(settings.target, auto=goal)})


def _check_starts(learner: Learner, plan: Plan, environment: Environment) -> None:
    """Refuse starts that the episodes cannot be shared out to, or that the environment cannot repeat."""
    learner.starts_of(int(plan.episodes))
    if learner.starts is not None and not environment.seeded:
        raise ValueError(f"starts are seeds of episodes, and {environment.name} takes none: leave starts out")


def _target_of(target: float | str | None, auto: float | None) -> float | None:
    """A target as a number; None for no target, and `auto` where it is left open."""
    if target == "auto":
        return auto
    if target is None or target == "none":
        return None
    try:
        number = nan if isinstance(target, bool) else float(target)
    except (TypeError, ValueError, OverflowError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"target must be 'auto', 'none' or a number, got {target!r}")
    return number


def _slots_of(settings: Settings, algorithm: Algorithm, plan: Plan, environment: Environment, policy: Policy) -> int:
    """Episodes that the rollout plays side by side."""
    episodes = FEW if isinstance(plan.episodes, str) else plan.episodes
    at_once = max(episodes * algorithm.population, plan.eval_episodes)
    return choose_slots(environment, policy, at_once, compile=settings.compile, noise_rank=algorithm.noise_rank)


def _memory(algorithm: Algorithm, vector: ParamVector, slots: int) -> int:
    """Bytes that a run takes, about: a population, the weights in all slots, vectors and matrices of the search."""
    copies = (algorithm.drawn + slots) * numbers_each(vector.slices, algorithm.noise_rank)
    matrices = algorithm.matrices * vector.dim**2 * torch.float64.itemsize
    return (copies + VECTORS * vector.dim) * vector.dtype.itemsize + matrices


def _record(
    settings: Settings, algorithm: Algorithm, environment: Environment, policy: Policy, plan: Plan
) -> dict[str, Any]:
    """The settings as plain values."""
    kind, given = _kind_of(settings), settings.hyperparameters or {}
    known = hyperparameters_of(kind)
    if isinstance(settings.algorithm, str):
        recorded = {name: given.get(name, known[name].default) for name in known}
        recorded |= {"std": given.get("std")} if "std" in known else {}  # None: each layer's own
    else:
        recorded = {name: getattr(algorithm, name, None) for name in known}
        follows = "learning_rate" in known and isinstance(algorithm, Search) and algorithm.auto is not None
        recorded |= {"learning_rate": "auto"} if follows else {}
    return {
        "env": name_of(settings.env),
        "env_args": dict(settings.env_args or {}),
        "max_episode_steps": settings.max_episode_steps,
        "algorithm": kind.__name__.lower(),
        "hyperparameters": recorded,
        "policy": policy.settings,
        "action_std": settings.action_std,
        "net": {name: list(tensor.shape) for name, tensor in policy.net.state_dict().items()},
        **asdict(plan),
        "restarts": bool(settings.restarts),
        "backend": environment.backend,
        "starts": "of the seed" if environment.seeded else "of the simulator",
        "compile": settings.compile,
        "device": str(settings.device),
    }


def _code_of(settings: Settings, policy: Policy) -> dict[str, object]:
    """Code that the user has to name again for another command; no policy that the run's files can make again."""
    given = _given_policy(settings)
    own = None if policy.settings is not None else policy.net if given is None else given
    return own_code(settings.env, own, settings.policy_args or {})


def _notes(environment: Environment, *, strict: bool) -> list[str]:
    """Lines to tell the user: how the environment is stepped, and whether episodes are no pure functions.

    Raises:
        ValueError: If they are not, and `strict` forbids that.
    """
    with Vigil(EnvSlots.activity, environment.name, "before training: ", None, 2):
        impure = check_environment(environment)
    if impure and strict:
        raise ValueError(f"{impure}; strict=True refuses that")
    return [note for note in (environment.note, impure, note_on_rounding()) if note]
