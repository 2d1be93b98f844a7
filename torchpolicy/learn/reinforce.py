"""REINFORCE: steps up the gradient of the expected return, estimated from whole episodes.

Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning";
reward-to-go and baselines as in Sutton & Barto (2018), "Reinforcement learning", section 13.4; leave-one-out after
Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!"; several steps on the same
episodes as in Schulman et al. (2017), "Proximal policy optimization algorithms", without a value function.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf, sqrt
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from torchpolicy.base.checks import check_choice, check_count, check_range
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.learn.elites import EQUAL
from torchpolicy.learn.lesson import Lesson
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.vectors.ascent import OptimizerFactory
from torchpolicy.vectors.params import ParamVector

MEMORY = 0.9
"""Share of its old value that the running mean square of the advantages keeps in every generation."""


class REINFORCE(Learner):
    """Raises the probability of choices that earned more than expected, and lowers that of the others.

    Example::

        learner = REINFORCE(policy, baseline="leave_one_out", learning_rate=0.02)
        result = tp.train("CartPole-v1", learner, target=195)

    With N episodes, the reward to go G_m of step m, discounted from that step on, and a baseline b_m:

        A_m     <- G_m - b_m, over their running scale if standardize
        weights <- optimizer step up 1/N sum_m A_m log pi(c_m | o_m)

    The sum is divided by the number of episodes, not of steps, or long episodes would count for less. With
    ``discount=1`` it is the gradient of the expected return without bias where the baseline is none, step or
    leave_one_out. The baseline mean holds the episode's own return, too: it makes the gradient shorter, by the factor
    1 - 1/N, but does not turn it. A discount below 1 trades bias for less variance: actions are credited with what
    comes soon, and the factor discount^t of step t is left out, as is usual, so that late steps count as much as early
    ones.

    A Gaussian policy's log_std climbs with the weights of its net.

    Args:
        policy: The policy that is improved, in place.
        discount: Factor by which a reward counts for less with every step that it lies ahead, from 0 to 1.
        baseline: What the reward to go is compared with. none: nothing, the plain form; mean: the mean return of the
            episodes; step: the mean over the other episodes that still go on at the same step; leave_one_out: the mean
            over all other episodes at the same step, where those that have ended count as zero.
        standardize: Divide the advantages, which are the rewards to go less the baseline, by their root mean square in
            earlier generations (in the first generation, by its own), so that the scale of rewards does not matter.
            The present generation does not count: otherwise rare high returns would make it weigh less than others.
        epochs: Steps of the optimizer on the same episodes. From the second step on, each choice is weighted by the
            ratio of its probability to what it was when it was made.
        clip: How far that ratio may move from 1 before the choice counts for nothing, as in PPO. Unused with one epoch.
        entropy_bonus: Weight of a nat of the policy's entropy at each step, in units of the advantages. With Box
            actions it is the entropy of the Gaussian, before the choice is squashed into its bounds.
        min_std: Smallest standard deviation of a Gaussian policy.
        optimizer: Optimizer of the weights: adam, or any class of torch.optim by its name; from Python also a callable
            from (parameters, lr=) to an optimizer.
        optimizer_args: Further arguments of the optimizer, such as betas for adam or momentum for sgd.
        learning_rate: Learning rate of the optimizer.
        bptt_steps: Steps through which gradients flow back in a recurrent policy. If not set, all of an episode.
        starts: Number of different starts in a generation, each of them played equally often with other actions; the
            baseline is then that of the episodes of the same start. If not set, every episode has its own start, and
            the baseline is that of all.
        seed: Unused: this learner draws no random numbers.

    Attributes:
        mean_square: Running mean square of the advantages; 0 before the first generation.
    """

    episodes: ClassVar[int] = 20

    def __init__(
        self,
        policy: Policy,
        *,
        discount: float = 0.99,
        baseline: Literal["none", "mean", "step", "leave_one_out"] = "step",
        standardize: bool = True,
        epochs: int = 1,
        clip: float = 0.2,
        entropy_bonus: float = 0.0,
        min_std: float = 0.05,
        optimizer: str | OptimizerFactory = "adam",
        optimizer_args: Mapping[str, Any] | None = None,
        learning_rate: float = 0.01,
        bptt_steps: int | None = None,
        starts: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            policy,
            ParamVector(policy),
            optimizer=optimizer,
            optimizer_args=optimizer_args,
            learning_rate=learning_rate,
            bptt_steps=bptt_steps,
            starts=starts,
            seed=seed,
        )
        check_range("discount", discount, 0, 1)
        check_choice("baseline", baseline, BASELINES)
        check_count("epochs", epochs, at_least=1)
        check_range("clip", clip, 0, inf, open_low=True)
        check_range("entropy_bonus", entropy_bonus, 0, inf)
        self.discount = discount
        self.baseline = baseline
        self.standardize = standardize
        self.epochs, self.clip = epochs, clip
        check_range("min_std", min_std, 0, inf)
        self.entropy_bonus = entropy_bonus
        self.min_std = min_std
        self.mean_square = 0.0

    def _learn(self, episodes: Episodes) -> Metrics | None:
        to_go = episodes.rewards_to_go(self.discount)
        advantages = to_go - BASELINES[self.baseline](episodes, to_go, self.groups(episodes))
        if advantages.abs().max() <= EQUAL * to_go.abs().max():
            return None
        if self.standardize:
            advantages = advantages / self._scale(float(advantages.square().mean()))
        weights = (advantages / len(episodes)).to(self.vector.dtype)
        entropy_weight = self.entropy_bonus / len(episodes)
        lesson = Lesson.of(self.policy, episodes, weights)
        if self.epochs > 1:
            lesson = replace(lesson, before=self._log_probs(lesson))
        loss, entropy = self._climb(lesson, entropy_weight, self.clip)
        for _ in range(1, self.epochs):
            self._climb(lesson, entropy_weight, self.clip)
        self.policy.head.limit_spread(self.min_std)
        return {"learn/loss": loss, "learn/entropy": entropy, "learn/steps": float(len(weights))}

    @torch.no_grad()
    def _log_probs(self, lesson: Lesson) -> Tensor:
        """(M,), the present log-probabilities of the choices."""
        outputs = torch.cat([part.outputs(self.policy, None) for part in lesson.parts(self.chunk)])
        return self.policy.head.log_prob(outputs, lesson.choices)

    def _scale(self, mean_square: float) -> float:
        """The divisor of this generation's advantages, whose mean square is given; later divisors include it."""
        before = self.mean_square or mean_square
        self.mean_square = MEMORY * before + (1 - MEMORY) * mean_square
        return sqrt(before)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"mean_square": self.mean_square}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.mean_square = float(state["mean_square"])


def none(episodes: Episodes, to_go: Tensor, groups: Tensor) -> Tensor:
    """Zero, ()."""
    return to_go.new_zeros(())


def mean(episodes: Episodes, to_go: Tensor, groups: Tensor) -> Tensor:
    """(M,), the mean over the episodes of the step's group of the reward to go at their start."""
    returns = to_go[episodes.times == 0]
    sums = torch.zeros(int(groups.max()) + 1, dtype=to_go.dtype).index_add(0, groups, returns)
    return (sums / groups.bincount())[groups][episodes.owners]


def step(episodes: Episodes, to_go: Tensor, groups: Tensor) -> Tensor:
    """(M,), for each step the mean over the other episodes of its group that go on at its time; 0 if there are none.

    With the episode's own one among them, steps that few episodes reach would hardly count.
    """
    alive = episodes.sums_at(torch.ones_like(to_go), groups)
    return (episodes.sums_at(to_go, groups) - to_go) / (alive - 1).clamp(min=1)


def leave_one_out(episodes: Episodes, to_go: Tensor, groups: Tensor) -> Tensor:
    """(M,), the mean over the other episodes of its group at the time of each step; zero if there are none.

    An episode that has ended counts as zero.
    """
    others = (groups.bincount() - 1).clamp(min=1)[groups][episodes.owners]
    return (episodes.sums_at(to_go, groups) - to_go) / others


BASELINES = {"none": none, "mean": mean, "step": step, "leave_one_out": leave_one_out}
