"""Training a policy, and going on with it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from torchpolicy.envs.make import EnvFactory
from torchpolicy.output.blueprint import needs_policy
from torchpolicy.output.config import read_config
from torchpolicy.output.saved_policy import load_evaluation, load_policy
from torchpolicy.output.writers.base import MakesWriter
from torchpolicy.output.writers.jsonl import read_rows
from torchpolicy.policies.base import Policy
from torchpolicy.policies.make import PolicyFactory
from torchpolicy.runs.algorithms import Algorithm, algorithm_names
from torchpolicy.runs.job import Job, make_job
from torchpolicy.runs.launch import run
from torchpolicy.runs.preset import with_preset, without_preset
from torchpolicy.runs.result import Result
from torchpolicy.runs.settings import MAY_CHANGE, RECORDED, Settings, settings_of
from torchpolicy.training.callbacks import Callback

NEEDED = ("env", "algorithm", "hyperparameters", "policy", "preset", "initial_weights", *RECORDED)
"""Fields of a run's configuration that are needed to resume it."""


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
    episodes: int | Literal["auto"] | None = None,
    actions: Literal["greedy", "sampled"] | None = None,
    action_std: float | None = None,
    reevaluate: int | None = None,
    failed: Literal["dropped", "worst"] | None = None,
    step_penalty: float | None = None,
    stop_early: bool | None = None,
    eval_episodes: int | None = None,
    eval_every: int | None = None,
    keep: Literal["best", "last"] | None = None,
    restarts: bool | None = None,
    preset: bool = True,
    backend: Literal["auto", "gymnasium", "native", "vector", "envpool"] = "auto",
    compile: bool = False,
    workers: int = 1,
    device: str | torch.device = "cpu",
    max_episode_steps: int | None = None,
    strict: bool = False,
    log_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    step_timeout: float | None = None,
    patience: float = 60.0,
    callbacks: Sequence[Callback] = (),
    writers: Sequence[MakesWriter] = (),
    **hyperparameters: Any,
) -> Result:
    """Train a policy and save it in a run folder.

    If there is a preset of the algorithm for the environment, it fills in what is not given, and the run says so. A
    preset includes a policy, so it is not used if you bring a policy of your own or change the environment.

    Args:
        env: A Gymnasium id, ``"pkg.mod:callable"``, a callable that returns a ``gymnasium.Env`` (a class is one) or
            a ``gymnasium.vector.VectorEnv``, or a :class:`TensorEnv`, class or object.
        algorithm: The name of an algorithm (``cem``), a search over ``ParamVector(policy.net)`` that maximises, or a
            learner, which has its policy.
        env_args: Keywords for the environment.
        policy: A policy, a module to make one of, a name (``linear``, ``mlp``, ``residual``, ``"pkg.mod:factory"``),
            or a function ``factory(observation_space, action_space)`` that returns a policy or module. It is called
            with torch's random numbers of the run's `seed`, and with ``seed=`` if it has such a parameter. Training
            starts from its weights and moves them, so the policy of a result can be handed on to any algorithm. If
            nothing is given it is ``mlp`` where `policy_args` has ``hidden``, and ``linear`` otherwise.
        policy_args: Keywords for a policy chosen by name, such as ``{"hidden": (64, 64)}``.
        normalize_observations: Whether to bring observations to mean 0 and std 1, by running moments of what the
            candidates saw. These become part of the saved policy. If nothing is given, only a policy that was handed
            over from a run with normalised observations goes on with it.
        seed: Seed of everything random: initial weights, search and episodes.
        target: Held-out score at which the run stops: a number; ``"auto"`` for the preset's or, without a preset, the
            environment's ``reward_threshold``, unless a budget is given; None or ``"none"`` for no target.
        generations: Budget of generations.
        total_steps: Budget of environment steps, counted in training only. The run ends with the generation that
            reaches it. One million if there is no budget at all.
        seconds: Budget of wall-clock time, in seconds.
        tolerance: Range of held-out scores: the run stops when the center's have stayed within it for
            `tolerance_generations`.
        tolerance_generations: Generations that the held-out scores must stay within `tolerance`.
        episodes: E, episodes that each candidate plays in a generation; its score is their mean return. A learner's
            policy plays as many with sampled actions. With ``"auto"``, a search plays more of them when the update's
            directions from two halves of the episodes disagree, and fewer when they agree (1 to 32), and brings
            scores to the same spread in each episode. If nothing is given it is 1, or the learner's own number
            (`Learner.episodes`).
        actions: How a search's candidates choose their actions in training: ``"greedy"``, the default, takes the most
            probable one; ``"sampled"`` draws from the policy's distribution, with noise that belongs to the episode, so
            that all candidates have the same. Held-out scores are those of greedy actions.
        action_std: Standard deviation of sampled actions in a Box, before they are squashed into its bounds. A learner
            changes it from there. 1 if nothing is given, or what the given policy has.
        reevaluate: Additional episodes that the best quarter of the candidates plays. Among themselves they are then
            ranked by all the episodes that they played, which helps against luck. 0 if nothing is given.
        failed: What becomes of a search's candidate with a failed episode: ``"dropped"``, the default, leaves it out
            of the update; ``"worst"`` gives it the lowest score of its generation.
        step_penalty: Amount that is subtracted from the return for each step, in training only. Where an environment
            pays for being alive, that hides what it pays for progress, so subtract it. 0 if nothing is given. The old
            name ``survival_bonus`` is still understood.
        stop_early: Whether an episode of a search's candidate is stopped when it has fallen behind the better half of
            the generation before, and would not catch up. Its return is completed with what that half still gained at
            least (:class:`torchpolicy.training.stopping.EarlyStopping`). That saves steps where episodes are long and
            rewards come all along, as in HalfCheetah. Environments on tensors refuse it. False if nothing is given.
        eval_episodes: Episodes of each held-out evaluation. 100 if nothing is given.
        eval_every: Generations between held-out evaluations of the center, 10 if nothing is given. One comes early
            when the center's own score in training promises the target. Between them, up to 10 episodes are played
            for the learning curve alone, where all of these take less than 5 % of the steps of training.
        keep: ``"best"``, the default: at the end the policy with the best held-out score is tested and saved; or
            ``"last"``: the last one. The test's episodes are others, so its score is not biased.
        restarts: Whether a search begins again, from a fresh center and with twice the population, where it has
            converged or its scores have stood still for 50 generations (:class:`Restarts`). The budget goes on.
        preset: Whether to use the preset.
        backend: ``"gymnasium"``; ``"native"``, our own twin of a Gymnasium id, on tensors or, for MuJoCo, in one shared
            data structure; ``"vector"``, what ``gymnasium.make_vec`` makes, with `env_args` such as ``num_envs`` (32 if
            nothing is given); ``"envpool"``, EnvPool's of the same id, with `env_args` such as ``num_envs`` and
            ``num_threads``; or ``"auto"``, the twin if its returns are Gymnasium's to the last bit.
        compile: Whether to step an environment on tensors in float32 and in one compiled graph. Compiling takes 5 to
            60 s and a C++ compiler, and results no longer equal Gymnasium's to the last bit. It pays for large
            populations.
        workers: Processes on this machine; any number gives the same result. Under ``torchrun`` its processes are used
            and this is ignored.
        device: Device that computes the networks and the search: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``. Environments on
            tensors are stepped there, too, and their returns then differ from the CPU's in the last bits; others stay
            on the CPU. The same kind of device gives the same result.
        max_episode_steps: Time limit of an episode in steps, instead of the environment's own.
        strict: Whether to refuse an environment whose episodes are found to depend on more than seed and actions,
            instead of only saying which promises do not hold in it.
        log_dir: Folder in which run folders are made.
        run_dir: The run's folder itself. If it holds a run of equal configuration, that run is resumed.
        checkpoint_seconds: Seconds between checkpoints; more where they would take over 1 % of the time. 0 writes
            one after every generation, whatever it takes.
        step_timeout: Seconds of one step or reset of the environment after which its process counts as hung. With
            several processes, all start again from the last checkpoint; a single one stops with a :class:`RunError`.
            None: the user is told after 60 s, and nothing is stopped.
        patience: Seconds for which another process may give no sign of life before it counts as lost.
        callbacks: Objects whose hooks are called along the way and may end the run (:mod:`torchpolicy.callbacks`).
            With workers, copies of them in the first process are called.
        writers: Subclasses of :class:`Writer`, or functions that make one, which are called with the run's folder and
            `resumed_at`. They get all that the run's own writers get: metrics, histograms, pictures, notes, the end.
            Only the process that reports makes them. One that fails is told once, and the run goes on.
        **hyperparameters: Hyperparameters of the algorithm, by the names of its constructor. A `std` that is not
            given is each layer's own initial scale (:meth:`ParamVector.initial_scale`), times `std_scale`, which is
            1 for a policy of one layer and 0.58 for a network with hidden layers unless it is given.

    Returns:
        The kept policy, its test score, the metrics of all generations, and the run's folder.

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
        RunError: If more than half of the candidates failed in two generations running, or a callback failed.
    """
    job = job_of(locals())
    return result_of(job, run(job, log_dir, run_dir, workers), env)


def job_of(arguments: Mapping[str, Any]) -> Job:
    """The run that all arguments of :func:`train`, by their names, stand for: put together, and not started.

    Raises:
        ValueError: If an argument is unknown, out of range, or does not fit the others.
    """
    given = settings_of(arguments)
    settings, taken = with_preset(given)
    named = isinstance(arguments["algorithm"], str) and _makes_again(arguments["policy"], settings.policy_args)
    job = make_job(settings, preset=taken, weights_given=not named)
    population = job.algorithm.population if job.algorithm.has_candidates else None
    return replace(job, untuned=without_preset(given, job.config, population, algorithm_names()))


def resume(
    run_dir: str | Path,
    *,
    env: str | EnvFactory | None = None,
    env_args: Mapping[str, Any] | None = None,
    policy: Policy | nn.Module | PolicyFactory | str | None = None,
    workers: int = 1,
    callbacks: Sequence[Callback] = (),
    writers: Sequence[MakesWriter] = (),
    **budget: Any,
) -> Result:
    """Go on with a run from its newest whole checkpoint, as if it had never stopped.

    A run that is finished says so and is left as it is, unless `budget` gives it more.

    Args:
        run_dir: The run's folder.
        env: The environment, for a run in one of your own: names in the run's files are not imported.
        env_args: Keywords for the environment, for a run where they name code.
        policy: The policy, or what makes it, for a run of a policy of your own.
        workers: Processes; any number gives the same result.
        callbacks: Callbacks as for :func:`train`; they go on from their states in the checkpoint.
        writers: Writers as for :func:`train`, for this session.
        **budget: `target`, `generations`, `total_steps`, `seconds`, `tolerance`,
            `tolerance_generations`, `checkpoint_seconds`, `step_timeout` or `patience`, instead of the run's.

    Returns:
        What the run has come to, as :func:`train` returns it.

    Raises:
        CheckpointError: If the folder holds no run, or no checkpoint that is whole.
        ValueError: If code of your own is missing, or is not what the run began with.
    """
    config = read_config(run_dir, NEEDED, {"env": env, "env_args": env_args, "policy": policy})
    for name in budget:
        if name not in MAY_CHANGE:
            raise ValueError(f"{name} of a run cannot be changed, only {', '.join(MAY_CHANGE)} can")
    if config["algorithm"] not in algorithm_names():
        raise ValueError(
            f"{run_dir}: its algorithm, {config['algorithm']}, was an object of your own: make it again and call "
            "tp.train(env, it, run_dir=...) with the run's other settings"
        )
    if config["policy"] is None and policy is None:
        raise ValueError(needs_policy(run_dir))
    made_from = config["policy"] or {}
    hyperparameters = config["hyperparameters"].items()
    recorded = {name: config[name] for name in RECORDED}
    if env_args is not None:
        recorded["env_args"] = config["env_args"] | dict(env_args)
    settings = Settings(
        env=config["env"] if env is None else env,
        algorithm=config["algorithm"],
        policy=made_from.get("policy") if policy is None else policy,
        policy_args=made_from.get("policy_args") if policy is None else None,
        hyperparameters={name: value for name, value in hyperparameters if not _is_object(value)},
        workers=workers,
        callbacks=callbacks,
        writers=writers,
        **recorded | budget,
    )
    job = make_job(settings, preset=config["preset"], weights_given=config["initial_weights"] == "given")
    return result_of(job, run(job, "", run_dir, workers), settings.env)


def _is_object(value: object) -> bool:
    """Whether a recorded hyperparameter only describes an object, which a file cannot hold."""
    return isinstance(value, dict) and "is" in value


def _makes_again(policy: object, policy_args: Mapping[str, Any] | None) -> bool:
    """Whether the configuration can make the first weights again: those of our own policies come from the seed."""
    named = policy is None or (isinstance(policy, str) and ":" not in policy)
    return named and "seed" not in (policy_args or {})


def result_of(job: Job, folder: Path, env: str | EnvFactory | None) -> Result:
    """What training came to, read back from the run's folder. The job's policy gets the weights that were kept."""
    metrics = [row for _, row in read_rows(folder, inf)]
    environment = {name: job.config[name] for name in ("env_args", "max_episode_steps", "backend")}
    if not isinstance(env, str):
        environment["backend"] = "auto"  # an environment of the user's own is what it is
    return Result(
        load_policy(folder, job.policy),
        folder,
        load_evaluation(folder),
        metrics,
        {"env": env} | environment,
        job.config["algorithm"],
        job.noise_rank,
        job.code,
    )
