"""The calls that most people need: train, load, evaluate."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

from torch import nn

from torchpolicy.catalog import (
    PolicyFactory,
    algorithm_class,
    check_hyperparameters,
    hyperparameters_of,
    make_policy,
    make_search,
    make_writers,
)
from torchpolicy.checkpoint import CheckpointError, read_json
from torchpolicy.envs.gym import GymFactory, gym_environment
from torchpolicy.evaluation import Evaluation, evaluate_vector
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.processes import one_thread
from torchpolicy.rollout import SLOTS, Rollout
from torchpolicy.runs import create_run_folder, load_policy, name_of, save_policy, write_config
from torchpolicy.search.base import Search, check_count
from torchpolicy.seeding import Stream, check_seed
from torchpolicy.trainer import Plan, Trainer
from torchpolicy.version import __version__

DEFAULT_TOTAL_STEPS = 1_000_000


@dataclass(frozen=True)
class Result:
    """What a training run came to.

    Attributes:
        policy: The trained policy, with the search's final center as its weights.
        run_dir: The run's folder.
        evaluation: Of the final policy, on held-out episodes that training never used.
        metrics: One dictionary a generation, as in ``metrics.jsonl``.
    """

    policy: Policy
    run_dir: Path
    evaluation: Evaluation
    metrics: list[dict[str, float]]


def train(
    env: str | GymFactory,
    algorithm: str | Search,
    *,
    env_args: Mapping[str, Any] | None = None,
    policy: Policy | nn.Module | PolicyFactory | str | None = None,
    policy_args: Mapping[str, Any] | None = None,
    normalize_observations: bool = False,
    seed: int = 0,
    target: float | str | None = "auto",
    generations: int | None = None,
    total_steps: int | None = None,
    seconds: float | None = None,
    episodes: int = 1,
    eval_episodes: int = 100,
    eval_every: int = 10,
    backend: str = "auto",
    compile: bool = False,
    workers: int = 1,
    device: str = "cpu",
    max_episode_steps: int | None = None,
    log_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    callbacks: Sequence[object] = (),
    **hyperparameters: Any,
) -> Result:
    """Train a policy and save it in a run folder.

    Args:
        env: A Gymnasium id, ``"pkg.mod:callable"``, or a callable that returns a
            ``gymnasium.Env`` (a class is one).
        algorithm: A name (``cem``), or a search over ``ParamVector(policy.net)`` that maximises.
        env_args: Keywords for the environment.
        policy: A policy, a module to make one of, a name (``linear``, ``mlp``, ``"pkg.mod:factory"``),
            or a callable from (observation space, action space) to a policy or module. Training
            starts from its weights. ``linear`` if nothing is given, ``mlp`` if `policy_args` has
            ``hidden``.
        policy_args: Keywords for a policy chosen by name, such as ``{"hidden": (64, 64)}``.
        normalize_observations: Not yet supported.
        seed: Of everything random: initial weights, search, episodes.
        target: Stop when the held-out score reaches it: a number; ``"auto"`` for the environment's
            ``reward_threshold`` unless a budget is given; None or ``"none"`` for no target.
        generations: Budget of generations.
        total_steps: Budget of environment steps, counted in training only; it ends with the
            generation that reaches it. One million if there is no budget at all.
        seconds: Budget of wall time.
        episodes: E, per candidate and generation; a candidate's score is their mean return.
        eval_episodes: Of each held-out evaluation.
        eval_every: Generations between held-out evaluations of the center. One comes early when the
            center's last scores in training promise the target.
        backend: ``"auto"`` or ``"gymnasium"``.
        compile: Not yet supported.
        workers: Processes; 1 for now.
        device: ``"cpu"`` for now.
        max_episode_steps: Time limit of an episode, in place of the environment's own.
        log_dir: Where run folders are made.
        run_dir: The run's folder itself, new or empty.
        callbacks: Not yet supported.
        **hyperparameters: Of the algorithm, by the names of its constructor. A `std` that is not
            given is each layer's own initial scale (:meth:`ParamVector.initial_scale`).

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
        RunError: If more than half of the candidates failed in two generations running.
    """
    _refuse_unsupported(normalize_observations, backend, compile, workers, device, callbacks)
    seed = check_seed(seed)
    search_class = algorithm_class(algorithm) if isinstance(algorithm, str) else type(algorithm)
    check_hyperparameters(search_class, hyperparameters)
    environment = gym_environment(env, env_args, max_episode_steps)
    if generations is total_steps is seconds is None:
        total_steps = DEFAULT_TOTAL_STEPS
        goal = environment.reward_threshold
    else:
        goal = None
    plan = Plan(
        seed=seed,
        episodes=episodes,
        target=_parse_target(target, auto=goal),
        generations=generations,
        total_steps=total_steps,
        seconds=seconds,
        eval_episodes=eval_episodes,
        eval_every=eval_every,
    )
    trained = make_policy(policy, policy_args or {}, environment.spaces, seed)
    search = make_search(algorithm, hyperparameters, trained, seed)
    name = search_class.__name__.lower()
    config = {
        "env": name_of(env),
        "env_args": dict(env_args or {}),
        "max_episode_steps": max_episode_steps,
        "algorithm": name,
        "hyperparameters": {key: getattr(search, key, None) for key in hyperparameters_of(search_class)},
        "policy": trained.settings,
        "parameters": search.dim,
        **asdict(plan),
        "slots": SLOTS,
        "backend": "gymnasium",
        "device": device,
    }
    with Rollout(environment, trained) as rollout, ExitStack() as stack:
        folder = create_run_folder(log_dir, run_dir, environment.name, name, seed)
        write_config(folder, config)
        writers = make_writers(folder)
        for writer in writers:
            stack.callback(writer.close)
        trainer = Trainer(search, trained, rollout, plan, writers)
        trainer.run()
        evaluation = trainer.test()
        save_policy(folder, trained, evaluation)
    return Result(trained, folder, evaluation, trainer.metrics)


def load(run_dir: str | Path, module: nn.Module | None = None) -> Policy:
    """The trained policy of a run, in eval mode. No code from the run's files is executed.

    Args:
        run_dir: The run's folder.
        module: For a policy around a module of your own: such a module, whose weights are replaced.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit.
        ValueError: If the run needs a `module`, or the module does not fit its spaces.
    """
    return load_policy(run_dir, module)


def load_run(
    run_dir: str | Path, *, env: str | None = None, env_args: Mapping[str, Any] | None = None, policy: str | None = None
) -> tuple[Policy, dict[str, Any]]:
    """The policy of a run, and the keywords that make :func:`evaluate` play its environment.

    The user's own code is taken from `env` and `policy` alone, never from a name in the run's files.

    Args:
        run_dir: The run's folder.
        env: In place of the run's environment.
        env_args: In place of the run's.
        policy: ``"pkg.mod:factory"``, for a run of a policy of the user's own.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit.
        ValueError: If the run used code of the user's own that is not given.
    """
    folder = Path(run_dir)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such run folder")
    config = read_json(folder / "config.json")
    if env is None and ":" in str(config.get("env")):
        raise ValueError(
            f"the run was in an environment of your own, {config['env']}: name it with --env pkg.mod:callable"
        )
    environment: dict[str, Any] = {
        "env": config.get("env") if env is None else env,
        "env_args": config.get("env_args") if env_args is None else env_args,
        "max_episode_steps": config.get("max_episode_steps"),
    }
    if policy is None:
        return load_policy(folder), environment
    module = make_policy(policy, {}, gym_environment(**environment).spaces, seed=0)
    return load_policy(folder, module), environment


def evaluate(
    policy: Policy,
    env: str | GymFactory,
    episodes: int = 100,
    seed: int = 1,
    *,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    sampled: bool = False,
) -> Evaluation:
    """Score a policy on episodes that training never uses.

    With the seed of the run that trained it, these are the episodes of the run's own test score.

    Args:
        policy: Acts greedily; put into eval mode.
        env: As for :func:`train`.
        episodes: E, how many.
        seed: Of the episodes.
        env_args: As for :func:`train`.
        max_episode_steps: As for :func:`train`.
        sampled: Sample actions rather than act greedily.

    Raises:
        ValueError: If an argument is out of range, or the policy does not fit the environment.
    """
    check_count("episodes", episodes, at_least=1)
    seed = check_seed(seed)
    environment = gym_environment(env, env_args, max_episode_steps)
    vector = ParamVector(policy.net).read()
    with Rollout(environment, policy, sampled=sampled) as rollout, one_thread():
        return evaluate_vector(rollout, vector, seed=seed, stream=Stream.TEST, episodes=episodes)


def _parse_target(target: float | str | None, auto: float | None) -> float | None:
    if target == "auto":
        return auto
    if target is None or target == "none":
        return None
    try:
        number = float(target)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise ValueError(f"target must be 'auto', 'none' or a number, got {target!r}")
    return number


def _refuse_unsupported(
    normalize_observations: bool, backend: str, compile: bool, workers: int, device: str, callbacks: Sequence[object]
) -> None:
    """Say plainly what this version cannot do yet."""
    asked = {
        "normalize_observations=True": normalize_observations,
        f"backend={backend!r}": backend not in ("auto", "gymnasium"),
        "compile=True": compile,
        f"workers={workers!r}": workers != 1,
        f"device={device!r}": device != "cpu",
        "callbacks": bool(callbacks),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise ValueError(f"{name} is not supported in torchpolicy {__version__}")
