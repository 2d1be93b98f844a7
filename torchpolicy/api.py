"""The calls that most people need: train, load, evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from torch import nn

from torchpolicy.catalog import PolicyFactory, make_policy
from torchpolicy.checks import check_count, check_seed
from torchpolicy.envs.gym import GymFactory, gym_environment
from torchpolicy.evaluation import Evaluation, evaluate_vector
from torchpolicy.job import Job, make_job
from torchpolicy.launch import run
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.processes import one_thread
from torchpolicy.rollout import Rollout
from torchpolicy.runs import MAY_CHANGE, load_evaluation, load_policy, read_config
from torchpolicy.search.base import Search
from torchpolicy.seeding import Stream
from torchpolicy.version import __version__
from torchpolicy.writers.jsonl import read_rows

RECORDED = (
    *("env_args", "max_episode_steps", "seed", "target", "generations", "total_steps", "seconds"),
    *("episodes", "eval_episodes", "eval_every", "checkpoint_seconds"),
)
"""Fields of ``config.json`` that are arguments of :func:`make_job` as they are."""


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
    checkpoint_seconds: float = 10.0,
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
            center's own score in training promises the target.
        backend: ``"auto"`` or ``"gymnasium"``.
        compile: Not yet supported.
        workers: Processes on this machine; any number gives the same result. Under ``torchrun`` its
            processes are used, and this is ignored.
        device: ``"cpu"`` for now.
        max_episode_steps: Time limit of an episode, in place of the environment's own.
        log_dir: Where run folders are made.
        run_dir: The run's folder itself. A run of equal configuration that it holds is resumed.
        checkpoint_seconds: Between checkpoints; longer where they would take more than 1 % of the time. 0: one
            after every generation, whatever it takes.
        callbacks: Not yet supported.
        **hyperparameters: Of the algorithm, by the names of its constructor. A `std` that is not
            given is each layer's own initial scale (:meth:`ParamVector.initial_scale`).

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
        RunError: If more than half of the candidates failed in two generations running.
    """
    _refuse_unsupported(normalize_observations, backend, compile, device, callbacks)
    check_count("workers", workers, at_least=1)
    job = make_job(
        env,
        algorithm,
        env_args=env_args,
        policy=policy,
        policy_args=policy_args,
        seed=seed,
        target=target,
        generations=generations,
        total_steps=total_steps,
        seconds=seconds,
        episodes=episodes,
        eval_episodes=eval_episodes,
        eval_every=eval_every,
        checkpoint_seconds=checkpoint_seconds,
        max_episode_steps=max_episode_steps,
        hyperparameters=hyperparameters,
    )
    return _result(job, run(job, log_dir, run_dir, workers))


def resume(
    run_dir: str | Path,
    *,
    env: str | GymFactory | None = None,
    policy: Policy | nn.Module | PolicyFactory | str | None = None,
    workers: int = 1,
    **budget: Any,
) -> Result:
    """Go on with a run from its newest whole checkpoint, as if it had never stopped.

    A run that is finished says so and is left as it is, unless `budget` gives it more.

    Args:
        run_dir: The run's folder.
        env: For a run in an environment of your own: that environment. Names in the run's files are not imported.
        policy: For a run of a policy of your own: that policy, or what makes it.
        workers: Processes; any number gives the same result.
        **budget: `target`, `generations`, `total_steps`, `seconds` or `checkpoint_seconds`, in place of the run's.

    Raises:
        CheckpointError: If the folder holds no run, or no checkpoint that is whole.
        ValueError: If code of your own is missing, or is not what the run began with.
    """
    check_count("workers", workers, at_least=1)
    config = read_config(run_dir, env)
    for name in budget:
        if name not in MAY_CHANGE:
            raise ValueError(f"{name} of a run cannot be changed, only {', '.join(MAY_CHANGE[:-1])} can")
    if config["policy"] is None and policy is None:
        raise ValueError(f"the policy of {run_dir} is around a module of your own: name it with policy=, or --policy")
    settings = config["policy"] or {}
    given = {name: value for name, value in config["hyperparameters"].items() if not isinstance(value, str)}
    job = make_job(
        config["env"] if env is None else env,
        config["algorithm"],
        policy=settings.get("policy") if policy is None else policy,
        policy_args=settings.get("policy_args") if policy is None else None,
        hyperparameters=given,
        **{name: config[name] for name in RECORDED} | budget,
    )
    return _result(job, run(job, "", run_dir, workers))


def _result(job: Job, folder: Path) -> Result:
    metrics = [row for _, row in read_rows(folder, inf)]
    return Result(load_policy(folder, job.policy), folder, load_evaluation(folder), metrics)


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
    config = read_config(run_dir, env)
    run_args = config["env_args"] if env is None or ":" in config["env"] else {}  # of another environment: not its
    environment: dict[str, Any] = {
        "env": config["env"] if env is None else env,
        "env_args": run_args if env_args is None else env_args,
        "max_episode_steps": config["max_episode_steps"],
    }
    if policy is None:
        return load_policy(run_dir), environment
    module = make_policy(policy, {}, gym_environment(**environment).spaces, seed=0)
    return load_policy(run_dir, module), environment


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
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    check_count("episodes", episodes, at_least=1)
    seed = check_seed(seed)
    environment = gym_environment(env, env_args, max_episode_steps)
    vector = ParamVector(policy.net).read()
    with Rollout(environment, policy, sampled=sampled) as rollout, one_thread():
        return evaluate_vector(rollout, vector, seed=seed, stream=Stream.TEST, episodes=episodes)


def _refuse_unsupported(
    normalize_observations: bool, backend: str, compile: bool, device: str, callbacks: Sequence[object]
) -> None:
    """Say plainly what this version cannot do yet."""
    asked = {
        "normalize_observations=True": normalize_observations,
        f"backend={backend!r}": backend not in ("auto", "gymnasium"),
        "compile=True": compile,
        f"device={device!r}": device != "cpu",
        "callbacks": bool(callbacks),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise ValueError(f"{name} is not supported in torchpolicy {__version__}")
