"""Loading a trained policy, and scoring it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torchpolicy.base.checks import MOST_EPISODES, check_count, check_seed
from torchpolicy.base.processes import one_thread
from torchpolicy.base.seeding import Stream
from torchpolicy.base.user_code import no_exit
from torchpolicy.envs.make import EnvFactory, make_environment
from torchpolicy.output.blueprint import OwnPolicy
from torchpolicy.output.config import read_config
from torchpolicy.output.saved_policy import load_policy
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation, evaluate_vector
from torchpolicy.rollout.make import make_rollout
from torchpolicy.vectors.params import ParamVector

STREAM = Stream.EVALUATION
"""The episodes that :func:`evaluate` plays."""


def load(run_dir: str | Path, policy: OwnPolicy | None = None, *, module: OwnPolicy | None = None) -> Policy:
    """The policy of a run, in eval mode. No code from the run's files is executed.

    For a run that has not finished, it is the policy of the newest checkpoint, and standard error says so.

    Args:
        run_dir: The run's folder.
        policy: Needed for a run of a policy of your own: such a policy or module, whose weights are replaced; or what
            makes it, a callable from (observation space, action space) or its name, ``"pkg.mod:factory"``.
        module: Another name for `policy`.

    Returns:
        The policy, with the run's weights and the moments of its normaliser.

    Raises:
        CheckpointError: If a file is missing, damaged, another run's, or does not fit.
        ValueError: If the run needs a `policy`, or the policy does not fit its spaces.
    """
    if policy is not None and module is not None:
        raise ValueError("policy and module are two names for the same: leave one of them out")
    return load_policy(run_dir, module if policy is None else policy)


def load_run(
    run_dir: str | Path,
    *,
    env: str | None = None,
    env_args: Mapping[str, Any] | None = None,
    policy: OwnPolicy | None = None,
) -> tuple[Policy, dict[str, Any]]:
    """The policy of a run, and the keywords that make :func:`evaluate` play its environment as the run did.

    The user's own code is taken from the arguments alone, never from a name in the run's files.

    Args:
        run_dir: The run's folder.
        env: Environment to play instead of the run's.
        env_args: Keywords for the environment, instead of the run's.
        policy: The run's policy, as :func:`load` takes it.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit.
        ValueError: If the run used code of the user's own that is not given.
    """
    needs = ("env", "env_args", "max_episode_steps", "backend", "hyperparameters")
    config = read_config(run_dir, needs, {"env": env, "env_args": env_args, "policy": policy})
    rank = config["hyperparameters"].get("noise_rank")
    run_args = config["env_args"] if env is None or ":" in config["env"] else {}  # of another environment: not its
    environment = {
        "env": config["env"] if env is None else env,
        "env_args": run_args if env_args is None else env_args,
        "max_episode_steps": config["max_episode_steps"],
        "backend": config["backend"] if env is None else "auto",
        "noise_rank": rank if isinstance(rank, int) else None,
    }
    return load_policy(run_dir, policy), environment


@no_exit()
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
    """Score a policy on episodes that neither training nor the final test of any run uses, whatever the seed.

    Args:
        policy: The policy, which is put into eval mode and acts greedily.
        env: Environment, as :func:`train` takes it.
        episodes: E, number of episodes.
        seed: Seed of the episodes.
        env_args: Keywords for the environment.
        max_episode_steps: Time limit of an episode in steps, instead of the environment's own.
        backend: Implementation of the environment, as :func:`train` takes it.
        sampled: Whether to sample actions instead.
        noise_rank: Rank of the noise that the policy was trained with. `Result.evaluate` and the command give it for
            a run with noise of low rank: then the matrices are held once for all episodes, and returns have the same
            last bits as in the run.

    Returns:
        Returns and lengths of the episodes, with their mean and its 95 % interval.

    Raises:
        ValueError: If an argument is out of range, or the policy does not fit the environment.
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    check_count("episodes", episodes, at_least=1, at_most=MOST_EPISODES)
    seed = check_seed(seed)
    if noise_rank is not None:
        check_count("noise_rank", noise_rank, at_least=1)
    environment = make_environment(env, env_args, max_episode_steps, backend)
    vector = ParamVector(policy.net).read()
    with make_rollout(environment, policy, noise_rank=noise_rank) as rollout, one_thread():
        return evaluate_vector(rollout, vector, seed=seed, stream=STREAM, episodes=episodes, sampled=sampled)
