"""What to do with a trained policy: load it, score it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from torchpolicy.catalog import make_policy
from torchpolicy.checks import MOST_EPISODES, check_count, check_seed
from torchpolicy.environments import EnvFactory, make_environment
from torchpolicy.evaluation import Evaluation, evaluate_vector
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.processes import one_thread
from torchpolicy.runs import load_policy, read_config
from torchpolicy.seeding import Stream
from torchpolicy.tensor_rollout import make_rollout

STREAM = Stream.EVALUATION
"""The episodes that :func:`evaluate` plays."""


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
        "backend": config["backend"] if env is None else "auto",
    }
    if policy is None:
        return load_policy(run_dir), environment
    module = make_policy(policy, {}, make_environment(**environment).spaces, seed=0)
    return load_policy(run_dir, module), environment


def evaluate(
    policy: Policy,
    env: str | EnvFactory,
    episodes: int = 100,
    seed: int = 1,
    *,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    backend: str = "auto",
    sampled: bool = False,
    noise_rank: int | None = None,
) -> Evaluation:
    """Score a policy on episodes that training never uses, nor a run's own test, whatever the seed.

    Args:
        policy: Acts greedily; put into eval mode.
        env: As for :func:`train`.
        episodes: E, how many.
        seed: Of the episodes.
        env_args: As for :func:`train`.
        max_episode_steps: As for :func:`train`.
        backend: As for :func:`train`.
        sampled: Sample actions rather than act greedily.
        noise_rank: Of the run that trained it. Given that of one with noise of low rank, as `Result.evaluate` and the
            command do, the matrices are held once for all episodes, and returns have the last bits of the run's own.

    Raises:
        ValueError: If an argument is out of range, or the policy does not fit the environment.
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    check_count("episodes", episodes, at_least=1, at_most=MOST_EPISODES)
    seed = check_seed(seed)
    environment = make_environment(env, env_args, max_episode_steps, backend)
    vector = ParamVector(policy.net).read()
    with make_rollout(environment, policy, sampled=sampled, noise_rank=noise_rank) as rollout, one_thread():
        return evaluate_vector(rollout, vector, seed=seed, stream=STREAM, episodes=episodes)
