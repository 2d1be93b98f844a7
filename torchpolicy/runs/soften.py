"""Making a policy sample more or less widely, for a learner that goes on from the policy of a search."""

from collections.abc import Callable, Mapping
from math import exp, inf, log
from typing import Any

import torch
from torch import Tensor, nn

from torchpolicy.base.checks import MOST_EPISODES, check_count, check_range, check_seed
from torchpolicy.base.processes import one_thread
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.user_code import no_exit
from torchpolicy.envs.make import EnvFactory, make_environment
from torchpolicy.learn.lesson import Lesson
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.heads import Gaussian
from torchpolicy.rollout.make import make_rollout

HALVINGS = 60
"""Halvings of the interval in which the scale of the outputs is looked for."""

LARGEST_SCALE = 1e6
"""The end of that interval; its other end is the inverse."""


@no_exit()
@torch.no_grad()
def soften(
    policy: Policy,
    env: str | EnvFactory,
    spread: float = 0.5,
    *,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    backend: str = "auto",
    episodes: int = 20,
    seed: int = 0,
) -> Policy:
    """Set how widely a policy samples; what it does greedily stays the same.

    A search leaves weights of any size, and the policy then hardly samples anything but its greedy action, or all of
    them alike. A learner has nothing to compare in either case. For Box actions the head's standard deviation is set.
    Otherwise the last layer is scaled, which is the temperature of the softmax, until the entropy of the choices is
    the given share of the largest possible, in a mean over what the policy meets in some episodes.

    Example::

        result = tp.train("LunarLander-v3", "snes", total_steps=300_000)
        tp.train("LunarLander-v3", "reinforce", policy=tp.soften(result.policy, "LunarLander-v3", 0.3))

    Args:
        policy: The policy, which is changed in place.
        env: Environment, as :func:`train` takes it.
        spread: Standard deviation of the choice before it is squashed, for Box actions; entropy as a share of the
            largest possible, at most 1, for others. Above 0.
        env_args: Keywords for the environment.
        max_episode_steps: Time limit of an episode in steps, instead of the environment's own.
        backend: Implementation of the environment, as :func:`train` takes it.
        episodes: Number of episodes, whose actions are sampled as the policy does at the beginning.
        seed: Seed of the episodes.

    Returns:
        The policy.

    Raises:
        ValueError: If an argument is out of range, or no scale of the last layer makes the policy sample so.
    """
    if not isinstance(policy, Policy):
        raise ValueError(f"policy must be a torchpolicy.Policy (wrap a module in one), got {type(policy).__name__}")
    head = policy.head
    if isinstance(head, Gaussian):
        check_range("spread", spread, 0, inf, open_low=True)
        head.set_std(spread)
        return policy
    check_range("spread", spread, 0, 1, open_low=True)
    check_count("episodes", episodes, at_least=1, at_most=MOST_EPISODES)
    environment = make_environment(env, env_args, max_episode_steps, backend)
    with make_rollout(environment, policy) as rollout, one_thread():
        _, met = rollout.collect(episode_seeds(check_seed(seed), Stream.EVALUATION, 0, episodes))
    outputs = Lesson.of(policy, met, torch.zeros(len(met.rewards))).outputs(policy, None).double()
    largest = float(head.entropy(torch.zeros_like(outputs[:1])))
    scale = _find_scale(lambda factor: float(head.entropy(factor * outputs).mean()) / largest, spread)
    _scale_outputs(policy, scale, met.observations[:1])
    return policy


def _find_scale(share_at: Callable[[float], float], spread: float) -> float:
    """The factor of the outputs at which the entropy has this share; it falls from 1 as the factor grows."""
    low, high = -log(LARGEST_SCALE), log(LARGEST_SCALE)
    if not share_at(LARGEST_SCALE) < spread < share_at(1 / LARGEST_SCALE):
        raise ValueError(f"no scale of its outputs makes the policy sample with {spread} of the largest entropy")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if share_at(exp(middle)) > spread else (low, middle)
    return exp(low)


def _scale_outputs(policy: Policy, factor: float, observations: Tensor) -> None:
    """Multiply the outputs of a policy by a factor, in its last layer.

    Raises:
        ValueError: If that is not what the outputs are made by.
    """
    layers = [each for each in policy.net.modules() if isinstance(each, nn.Linear)]
    last = layers[-1:]
    before = _outputs(policy, observations)
    for layer in last:
        for weights in layer.parameters(recurse=False):
            weights.mul_(factor)
    if not last or not torch.allclose(_outputs(policy, observations), factor * before, rtol=1e-3):
        for layer in last:
            for weights in layer.parameters(recurse=False):
                weights.div_(factor)
        raise ValueError(
            f"the last layer of {type(policy.net).__name__} is not linear, so its outputs cannot be scaled"
        )


def _outputs(policy: Policy, observations: Tensor) -> Tensor:
    """Outputs for observations (n, *O); a policy that remembers is at the beginning of an episode."""
    result = policy(observations)
    outputs: Tensor = result[0] if policy.recurrent else result
    return outputs
