"""REINFORCE: up the gradient of the expected return, from whole episodes.

Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning";
reward-to-go and baselines as in Sutton & Barto (2018), "Reinforcement learning", section 13.4; leave-one-out after
Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!".
"""

from math import inf
from typing import ClassVar, Literal

import torch
from torch import Tensor

from torchpolicy.ascent import OptimizerFactory
from torchpolicy.checks import check_choice, check_range
from torchpolicy.episodes import Episodes
from torchpolicy.learn.base import Learner
from torchpolicy.params import ParamVector
from torchpolicy.policies.base import Policy
from torchpolicy.search.base import Metrics

EQUAL = 1e-9
"""Advantages that are no larger than this share of the rewards to go are rounding."""


class REINFORCE(Learner):
    """Raises the probability of what earned more than expected, in proportion, and lowers that of the rest.

    Example::

        learner = REINFORCE(policy, baseline="leave_one_out", learning_rate=0.02)
        result = tp.train("CartPole-v1", learner, target=195)

    With the reward to go G_m of step m, discounted from that step on, and a baseline b_m:

        A_m     <- G_m - b_m, over their standard deviation if standardize
        weights <- optimizer step up the mean over m of A_m log pi(c_m | o_m)

    A Gaussian policy's log_std climbs with the weights of its net.

    Args:
        policy: What is improved, in place.
        discount: Of rewards, a step.
        baseline: What the reward to go is compared with. mean: its mean over all steps; step: over the
            episodes that still go on at that time; leave_one_out: over the other episodes at that time, those
            that have ended counting zero, which leaves the gradient without bias.
        standardize: Divide the advantages by their standard deviation, so that the scale of rewards does not matter.
        entropy_bonus: What a nat of the mean entropy is worth.
        optimizer: adam, or any class of torch.optim by its name; from Python also a callable from
            (parameters, lr=) to an optimizer.
        learning_rate: Of the optimizer.
        seed: Of nothing: REINFORCE draws no random numbers of its own.
    """

    episodes: ClassVar[int] = 20

    def __init__(
        self,
        policy: Policy,
        *,
        discount: float = 0.99,
        baseline: Literal["mean", "step", "leave_one_out"] = "step",
        standardize: bool = True,
        entropy_bonus: float = 0.0,
        optimizer: str | OptimizerFactory = "adam",
        learning_rate: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__(policy, ParamVector(policy), optimizer=optimizer, learning_rate=learning_rate, seed=seed)
        check_range("discount", discount, 0, 1)
        check_choice("baseline", baseline, BASELINES)
        check_range("entropy_bonus", entropy_bonus, 0, inf)
        self.discount = discount
        self.baseline = baseline
        self.standardize = standardize
        self.entropy_bonus = entropy_bonus

    def _learn(self, episodes: Episodes) -> Metrics | None:
        to_go = episodes.rewards_to_go(self.discount)
        advantages = to_go - BASELINES[self.baseline](episodes, to_go)
        if advantages.abs().max() <= EQUAL * to_go.abs().max():
            return None
        if self.standardize and (spread := advantages.std(correction=0)) > 0:
            advantages = advantages / spread
        weights = (advantages / len(advantages)).to(self.vector.dtype)
        loss, entropy = self._climb(episodes.observations, episodes.choices, weights, self.entropy_bonus)
        return {"learn/loss": loss, "learn/entropy": entropy, "learn/steps": float(len(weights))}


def mean(episodes: Episodes, to_go: Tensor) -> Tensor:
    """Of all steps, ()."""
    return to_go.mean()


def step(episodes: Episodes, to_go: Tensor) -> Tensor:
    """(M,), for each step the mean over the episodes that go on at its time."""
    alive = episodes.padded(torch.ones_like(to_go)).sum(0)
    return (episodes.padded(to_go).sum(0) / alive)[episodes.times]


def leave_one_out(episodes: Episodes, to_go: Tensor) -> Tensor:
    """(M,), for each step the mean over the other episodes at its time, zero after their end; 0 if there are none."""
    total = episodes.padded(to_go).sum(0)[episodes.times]
    return (total - to_go) / max(1, len(episodes) - 1)


BASELINES = {"mean": mean, "step": step, "leave_one_out": leave_one_out}
