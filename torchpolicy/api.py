"""Training a policy, and going on with it."""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from torchpolicy.blueprint import needs_policy
from torchpolicy.callbacks import Callback
from torchpolicy.catalog import Algorithm, PolicyFactory
from torchpolicy.checks import MOST_PROCESSES, check_count
from torchpolicy.config import MAY_CHANGE, read_config
from torchpolicy.environments import EnvFactory
from torchpolicy.job import Job, make_job
from torchpolicy.launch import run
from torchpolicy.policies.base import Policy
from torchpolicy.preset import describe, find_preset, settle
from torchpolicy.result import Result
from torchpolicy.saved import load_evaluation, load_policy
from torchpolicy.settings import RECORDED
from torchpolicy.writers.jsonl import read_rows

NEEDED = ("env", "algorithm", "hyperparameters", "policy", "preset", "initial_weights", *RECORDED)
"""Fields of a run's configuration that it is resumed by."""


def train(
    env: str | EnvFactory,
    algorithm: str | Algorithm,
    *,
    env_args: Mapping[str, Any] | None = None,
    policy: Policy | nn.Module | PolicyFactory | str | None = None,
    policy_args: Mapping[str, Any] | None = None,
    normalize_observations: bool | None = None,
    seed: int = 0,
    target: float | str | None = "auto",
    generations: int | None = None,
    total_steps: int | None = None,
    seconds: float | None = None,
    tolerance: float | None = None,
    tolerance_generations: int = 50,
    episodes: int | None = None,
    reevaluate: int | None = None,
    failed: str | None = None,
    survival_bonus: float | None = None,
    eval_episodes: int | None = None,
    eval_every: int | None = None,
    preset: bool = True,
    backend: str = "auto",
    compile: bool = False,
    workers: int = 1,
    device: str | torch.device = "cpu",
    max_episode_steps: int | None = None,
    strict: bool = False,
    log_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    callbacks: Sequence[Callback] = (),
    **hyperparameters: Any,
) -> Result:
    """Train a policy and save it in a run folder.

    Where there is a preset of the algorithm for the environment, it fills in what is not given, and the run
    says so. It holds a policy, too: who brings a policy, or changes the environment, takes none of it.

    Args:
        env: A Gymnasium id, ``"pkg.mod:callable"``, a callable that returns a ``gymnasium.Env`` (a class is one),
            or a :class:`TensorEnv`, class or object.
        algorithm: A name (``cem``), a search over ``ParamVector(policy.net)`` that maximises, or a learner, which
            has its policy.
        env_args: Keywords for the environment.
        policy: A policy, a module to make one of, a name (``linear``, ``mlp``, ``residual``, ``"pkg.mod:factory"``),
            or a function ``factory(observation_space, action_space)`` that returns a policy or module. Training
            starts from its weights, and moves them: the policy of a result can be handed on to any
            algorithm. ``linear`` if nothing is given, ``mlp`` if `policy_args` has ``hidden``.
        policy_args: Keywords for a policy chosen by name, such as ``{"hidden": (64, 64)}``.
        normalize_observations: Bring observations to mean 0 and std 1, by running moments of what candidates
            saw; part of the saved policy. If nothing is given, as the policy does: not, unless it is handed over
            from a run that did.
        seed: Of everything random: initial weights, search, episodes.
        target: Stop when the held-out score reaches it: a number; ``"auto"`` for the preset's, or the
            environment's ``reward_threshold``, unless a budget is given; None or ``"none"`` for no target.
        generations: Budget of generations.
        total_steps: Budget of environment steps, counted in training only; it ends with the
            generation that reaches it. One million if there is no budget at all.
        seconds: Budget of wall time.
        tolerance: Stop when the center's held-out scores have stayed within so much of each other.
        tolerance_generations: For how long.
        episodes: E, per candidate and generation; a candidate's score is their mean return. A learner's: of the
            policy, with sampled actions. 1 if nothing is given, or what the learner takes (`Learner.episodes`).
        reevaluate: Fresh episodes that the best quarter of the candidates play as well; their order among themselves is
            then that of the means of all they played. A remedy against luck. 0 if nothing is given.
        failed: What becomes of a candidate with a failed episode, of a search: ``"dropped"``, as if it had not been
            asked for, the default; or ``"worst"``, with the lowest score of its generation.
        survival_bonus: Taken off the return for each step, in training only: what an environment pays
            for being alive hides what it pays for getting on. 0 if nothing is given.
        eval_episodes: Of each held-out evaluation. 100 if nothing is given.
        eval_every: Generations between held-out evaluations of the center, 10 if nothing is given. One comes early
            when the center's own score in training promises the target.
        preset: Whether to use the preset.
        backend: ``"gymnasium"``; ``"native"``, our own twin of a Gymnasium id, on tensors; or ``"auto"``, the
            twin where there is one whose returns are Gymnasium's to the last bit.
        compile: In an environment on tensors, step in float32 and in one compiled graph. Compiling takes 5 to 60 s
            and a C++ compiler, and results are no longer Gymnasium's to the last bit: for large populations.
        workers: Processes on this machine; any number gives the same result. Under ``torchrun`` its
            processes are used, and this is ignored.
        device: Where networks compute, and the search: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``. Environments on tensors
            are stepped there, too, whose returns then differ from the CPU's in their last bits; others stay on the CPU.
            The same kind of device gives the same result.
        max_episode_steps: Time limit of an episode, in place of the environment's own.
        strict: Refuse an environment whose episodes are found to depend on more than seed and actions, instead of
            saying in a line which promises do not hold in it.
        log_dir: Where run folders are made.
        run_dir: The run's folder itself. A run of equal configuration that it holds is resumed.
        checkpoint_seconds: Between checkpoints; longer where they would take more than 1 % of the time. 0: one
            after every generation, whatever it takes.
        callbacks: Objects whose hooks are called along the way, and may end the run (:mod:`torchpolicy.callbacks`).
            With workers, copies of them in the first process.
        **hyperparameters: Of the algorithm, by the names of its constructor. A `std` that is not
            given is each layer's own initial scale (:meth:`ParamVector.initial_scale`), times `std_scale`.

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
        RunError: If more than half of the candidates failed in two generations running, or a callback failed.
    """
    check_count("workers", workers, at_least=1, at_most=MOST_PROCESSES)
    flags = {"preset": preset, "compile": compile, "strict": strict}
    for name, flag in (flags | {"normalize_observations": normalize_observations}).items():
        if flag not in (True, False, None):
            raise ValueError(f"{name} must be True or False, got {flag!r}")
    for name, folder in {"log_dir": log_dir, "run_dir": run_dir}.items():
        if not isinstance(folder, str | Path | None):
            raise ValueError(f"{name} must be a path, got {folder!r}")
    given = {
        "policy": policy,
        "policy_args": policy_args or None,
        "normalize_observations": normalize_observations,
        "target": "none" if target is None else target,
        "generations": generations,
        "total_steps": total_steps,
        "seconds": seconds,
        "episodes": episodes,
        "reevaluate": reevaluate,
        "failed": failed,
        "survival_bonus": survival_bonus,
        "eval_episodes": eval_episodes,
        "eval_every": eval_every,
    }
    own = policy is not None or policy_args or env_args or max_episode_steps is not None
    settings, taken = settle(given | hyperparameters, {} if own or not preset else find_preset(algorithm, env))
    job = make_job(
        env,
        algorithm,
        env_args=env_args,
        seed=seed,
        max_episode_steps=max_episode_steps,
        backend=backend,
        compile=compile,
        device=str(device),
        tolerance=tolerance,
        tolerance_generations=tolerance_generations,
        checkpoint_seconds=checkpoint_seconds,
        preset=f"{algorithm}/{env}: {describe(taken)}" if taken else None,
        weights_given=not _makes_again(policy, settings["policy_args"]) or not isinstance(algorithm, str),
        callbacks=callbacks,
        strict=strict,
        hyperparameters={name: value for name, value in settings.items() if name not in given},
        **{name: settings[name] for name in given},
    )
    return _result(job, run(job, log_dir, run_dir, workers), env)


def resume(
    run_dir: str | Path,
    *,
    env: str | EnvFactory | None = None,
    env_args: Mapping[str, Any] | None = None,
    policy: Policy | nn.Module | PolicyFactory | str | None = None,
    workers: int = 1,
    callbacks: Sequence[Callback] = (),
    **budget: Any,
) -> Result:
    """Go on with a run from its newest whole checkpoint, as if it had never stopped.

    A run that is finished says so and is left as it is, unless `budget` gives it more.

    Args:
        run_dir: The run's folder.
        env: For a run in an environment of your own: that environment. Names in the run's files are not imported.
        env_args: For a run whose keywords for the environment name code: those keywords.
        policy: For a run of a policy of your own: that policy, or what makes it.
        workers: Processes; any number gives the same result.
        callbacks: As for :func:`train`; they go on from their states in the checkpoint.
        **budget: `target`, `generations`, `total_steps`, `seconds`, `tolerance`, `tolerance_generations` or
            `checkpoint_seconds`, in place of the run's.

    Raises:
        CheckpointError: If the folder holds no run, or no checkpoint that is whole.
        ValueError: If code of your own is missing, or is not what the run began with.
    """
    check_count("workers", workers, at_least=1, at_most=MOST_PROCESSES)
    config = read_config(run_dir, NEEDED, {"env": env, "env_args": env_args, "policy": policy})
    for name in budget:
        if name not in MAY_CHANGE:
            raise ValueError(f"{name} of a run cannot be changed, only {', '.join(MAY_CHANGE[:-1])} can")
    if config["policy"] is None and policy is None:
        raise ValueError(needs_policy(run_dir))
    settings = config["policy"] or {}
    given = {name: value for name, value in config["hyperparameters"].items() if not isinstance(value, dict)}
    job = make_job(
        config["env"] if env is None else env,
        config["algorithm"],
        policy=settings.get("policy") if policy is None else policy,
        policy_args=settings.get("policy_args") if policy is None else None,
        hyperparameters=given,
        callbacks=callbacks,
        preset=config["preset"],
        weights_given=config["initial_weights"] == "given",
        **{name: config[name] for name in RECORDED}
        | ({} if env_args is None else {"env_args": dict(config["env_args"]) | dict(env_args)})
        | budget,
    )
    return _result(job, run(job, "", run_dir, workers), config["env"] if env is None else env)


def _makes_again(policy: object, policy_args: Mapping[str, Any] | None) -> bool:
    """Whether what the configuration records makes the first weights again: those of our own policies, of the seed."""
    named = policy is None or (isinstance(policy, str) and ":" not in policy)
    return named and "seed" not in (policy_args or {})


def _result(job: Job, folder: Path, env: str | EnvFactory) -> Result:
    metrics = [row for _, row in read_rows(folder, inf)]
    environment = {name: job.config[name] for name in ("env_args", "max_episode_steps", "backend")}
    if not isinstance(env, str):
        environment["backend"] = "auto"  # an environment of the user's own is what it is
    policy = load_policy(folder, job.policy)
    return Result(
        policy,
        folder,
        load_evaluation(folder),
        metrics,
        {"env": env} | environment,
        job.config["algorithm"],
        job.noise_rank,
        job.code,
    )
