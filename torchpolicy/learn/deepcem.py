"""The deep cross-entropy method: a network learns to do what it did in its best episodes.

Mannor, Rubinstein & Gat (2003), "The cross entropy method for fast policy search"; with a network instead of a table
in the Practical RL course (2016) and in Lapan (2018), "Deep reinforcement learning hands-on", chapter 4. Extra
variance for Gaussian actions after Szita & Lorincz (2006), "Learning Tetris using the noisy cross-entropy method".
The elite of advantages weighs steps as Peters & Schaal (2007), "Reinforcement learning by reward-weighted regression",
and Peng et al. (2019), "Advantage-weighted regression", but without a value function: episodes that began alike are
compared with each other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any, Literal

import torch
from gymnasium.spaces import Box
from torch import Tensor

from torchpolicy.base.checks import check_choice, check_count, check_range
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.learn.elites import best_episodes, best_steps, by_advantage
from torchpolicy.learn.lesson import Lesson
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.vectors.ascent import OptimizerFactory
from torchpolicy.vectors.params import ParamVector

PERCENTILE = 70.0
"""The percentile by default."""


class DeepCEM(Learner):
    """Raises the probability of the choices made in the elite: the episodes whose score is above a percentile.

    Example::

        learner = DeepCEM(policy, percentile=70, learning_rate=0.01)
        result = tp.train("CartPole-v1", learner, target=195)

    With the elite's observations o_m and choices c_m, in shuffled minibatches, over a few epochs:

        elite   <- episodes with score > percentile of all scores
        weights <- optimizer step up the mean over m of log pi(c_m | o_m)

    If ties at the top leave no score above the percentile, the elite is the episodes that reach it, unless all do:
    where all scores are equal, nothing is learned.

    The elite may be of steps instead. Of the episodes that began alike (`starts`), each step's reward to go G_m is
    compared with those of the episodes that go on at the same time. With elite="advantages", every step counts, and
    the mean is weighted by

        exp(min(3, A_m / (temperature s))),  A_m = G_m - mean of G at that time,  s = root mean square of all A.

    With Box actions, whose choices are Gaussian, the head's standard deviation is fitted to the elite's choices around
    the network's output afterwards; extra variance, which fades over the generations, keeps it from shrinking too
    early.

    Args:
        policy: The policy that is improved, in place.
        percentile: Percentile of the scores that an episode must exceed to be in the elite, from 0 to 100. 70 makes
            the best 30 % the elite.
        discount: Factor by which a reward counts for less with every step that it comes later, above 0 and at most 1:
            later than the episode's start in its score, and later than the step in a reward to go.
        memory: Generations for which an elite episode is remembered and competes with new ones. 0 remembers none.
        elite: What is in the elite. episodes: the steps of those whose score is above the percentile; steps: the steps
            whose reward to go is above the percentile of all at their time; advantages: all steps, weighted by the
            exponential of their advantage over the mean reward to go at their time.
        temperature: How much advantage makes a difference where the elite is of advantages: a step that is better by
            this many standard deviations weighs 2.7 times as much. Small values come close to the best steps alone.
        starts: Number of different starts in a generation, each of them played equally often with other action noise;
            the elite is then taken among the episodes of the same start, so that lucky starts do not count. If not
            set, every episode has its own start, and the elite is taken among all.
        epochs: Passes over the elite in each generation.
        minibatch: Largest number of steps in a minibatch. The elite is split into minibatches of nearly equal size.
        weighting: How the elite is weighted. steps: every step counts the same; episodes: every episode counts the
            same, so that long ones do not outweigh short ones.
        entropy_bonus: Weight of the policy's mean entropy, in nats, in the objective. Not allowed for Box actions,
            whose spread is fitted to the elite; use extra_std there.
        optimizer: Optimizer of the weights: adam, or any class of torch.optim by its name; from Python also a callable
            from (parameters, lr=) to an optimizer.
        optimizer_args: Further arguments of the optimizer, such as betas for adam or momentum for sgd.
        learning_rate: Learning rate of the optimizer.
        bptt_steps: Steps through which gradients flow back in a recurrent policy. If not set, all of an episode.
        extra_std: Standard deviation whose square is added to the variance of Gaussian choices, those for Box actions,
            in the first generation.
        extra_std_decay: Factor by which extra_std shrinks in every generation.
        min_std: Smallest standard deviation of Gaussian choices.
        seed: Seed of the order of the minibatches.

    Attributes:
        remembered: The elite episodes that are still remembered; None if there are none.
        ages: (K,), the ages of the remembered episodes in generations.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        percentile: float = PERCENTILE,
        discount: float = 1.0,
        memory: int = 0,
        elite: Literal["episodes", "steps", "advantages"] = "episodes",
        temperature: float = 0.5,
        starts: int | None = None,
        epochs: int = 4,
        minibatch: int = 256,
        weighting: Literal["steps", "episodes"] = "steps",
        entropy_bonus: float = 0.0,
        optimizer: str | OptimizerFactory = "adam",
        optimizer_args: Mapping[str, Any] | None = None,
        learning_rate: float = 0.01,
        bptt_steps: int | None = None,
        extra_std: float = 0.5,
        extra_std_decay: float = 0.98,
        min_std: float = 0.05,
        seed: int = 0,
    ) -> None:
        super().__init__(
            policy,
            ParamVector(policy.net),
            optimizer=optimizer,
            optimizer_args=optimizer_args,
            learning_rate=learning_rate,
            bptt_steps=bptt_steps,
            starts=starts,
            seed=seed,
        )
        check_range("percentile", percentile, 0, 100)
        check_range("discount", discount, 0, 1, open_low=True)
        check_count("memory", memory, at_least=0)
        check_choice("elite", elite, ("episodes", "steps", "advantages"))
        check_range("temperature", temperature, 0, inf, open_low=True)
        if memory and (elite != "episodes" or starts is not None):
            raise ValueError("memory is for an elite of episodes among all starts: say elite='episodes', and no starts")
        if elite == "advantages" and percentile != PERCENTILE:
            raise ValueError("percentile does nothing in an elite of advantages: say elite='episodes' or 'steps'")
        check_count("epochs", epochs, at_least=1)
        check_count("minibatch", minibatch, at_least=1)
        check_choice("weighting", weighting, ("steps", "episodes"))
        check_range("entropy_bonus", entropy_bonus, 0, inf)
        if entropy_bonus and isinstance(policy.action_space, Box):
            raise ValueError("entropy_bonus does nothing for Box actions, whose spread is fitted: use extra_std")
        check_range("extra_std", extra_std, 0, inf)
        check_range("extra_std_decay", extra_std_decay, 0, 1)
        check_range("min_std", min_std, 0, inf, open_low=True)
        self.percentile, self.discount, self.memory = percentile, discount, memory
        self.elite, self.temperature = elite, temperature
        self.epochs, self.minibatch, self.weighting = epochs, minibatch, weighting
        self.entropy_bonus = entropy_bonus
        self.extra_std, self.extra_std_decay, self.min_std = extra_std, extra_std_decay, min_std
        self.remembered: Episodes | None = None
        self.ages = torch.zeros(0, dtype=torch.int64)

    def _learn(self, episodes: Episodes) -> Metrics | None:
        ages = torch.zeros(len(episodes), dtype=torch.int64)
        if self.remembered is not None:
            episodes = Episodes.joined([self.remembered, episodes])
            ages = torch.cat([self.ages, ages])
        worth = self._worth(episodes)
        chosen = episodes.owners[worth > 0].bincount(minlength=len(episodes)) > 0
        kept = chosen & (ages < self.memory)
        self.remembered, self.ages = episodes.select(kept) if kept.any() else None, ages[kept] + 1
        if not chosen.any():
            return None
        elite = episodes.select(chosen)
        weights = self._weights(elite, worth[chosen[episodes.owners]])
        lesson = Lesson.of(self.policy, elite, weights.to(self.vector.dtype)).without_idle_steps()
        losses, entropies = zip(*self._fit(lesson), strict=True)
        with torch.no_grad():
            extra = (self.extra_std * self.extra_std_decay**self.generation) ** 2
            output = torch.cat([part.outputs(self.policy, None) for part in lesson.parts(self.chunk)])
            self.policy.head.fit_spread(output, lesson.choices, lesson.weights, extra, self.min_std)
        metrics = {
            "learn/loss": sum(losses) / len(losses),
            "learn/entropy": sum(entropies) / len(entropies),
            "learn/elite_return": float(elite.returns().mean()),
            "learn/elite_episodes": float(len(elite)),
            "learn/elite_steps": float(len(lesson)),
        }
        if self.elite == "episodes":
            metrics["learn/threshold"] = float(elite.returns(self.discount).min())
        return metrics

    def _worth(self, episodes: Episodes) -> Tensor:
        """(M,) float64, how much each step counts; 0 for a step that is not in the elite."""
        groups = self.groups(episodes)
        if self.elite == "episodes":
            return best_episodes(episodes, episodes.returns(self.discount), self.percentile, groups)
        to_go = episodes.rewards_to_go(self.discount)
        if self.elite == "steps":
            return best_steps(episodes, to_go, self.percentile, groups)
        return by_advantage(episodes, to_go, self.temperature, groups)

    def _weights(self, elite: Episodes, worth: Tensor) -> Tensor:
        """(M,), the weight of each step of the elite, in proportion to its worth (M,); the sum is 1."""
        if self.weighting == "steps":
            return worth / worth.sum()
        whole = torch.zeros(len(elite), dtype=worth.dtype).index_add(0, elite.owners, worth)
        return worth / whole[elite.owners] / len(elite)

    def _fit(self, lesson: Lesson) -> Iterator[tuple[float, float]]:
        """Climb the likelihood of the elite, minibatch by minibatch; yields the loss and the entropy of each."""
        for _ in range(self.epochs):
            minibatches = lesson.shuffled(self.minibatch, self.generator)
            for batch in minibatches:
                shares = batch.weights * len(minibatches)  # in the mean over the minibatches, they sum to 1
                bonus = self.entropy_bonus * len(minibatches) / len(lesson)  # likewise
                yield self._climb(replace(batch, weights=shares), bonus)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {
            "remembered": {} if self.remembered is None else self.remembered.as_dict(),
            "ages": self.ages.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        remembered, ages, count = None, state["ages"], 0
        if state["remembered"]:
            shapes = self.policy.encoder.observation_shape, self.policy.head.choice_shape
            remembered = Episodes.from_dict(state["remembered"], *shapes)
            count = len(remembered)
        if ages.dtype != torch.int64 or ages.shape != (count,) or (ages < 0).any():
            raise ValueError(f"ages should be whole numbers, one for each of the {count} remembered episodes")
        self.remembered, self.ages = remembered, ages.clone()
