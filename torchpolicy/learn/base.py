"""Improving one policy from the episodes it played."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf, prod
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchpolicy.base.checks import check_count, check_seed
from torchpolicy.base.seeding import Stream, derive_seed
from torchpolicy.base.types import Metrics
from torchpolicy.learn.lesson import Lesson
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.vectors.ascent import Ascent, OptimizerFactory
from torchpolicy.vectors.params import ParamVector

CHUNK, NUMBERS = 2**15, 2**22
"""The most steps in one forward and backward pass, and the most numbers that these observe. Both bound the memory that
it takes, which in a network that sees is some 32 times that of the observations."""


class Learner(ABC):
    """Improves a policy by gradients of the log-probability of what it chose.

    The base validates and counts; a subclass writes ``_learn``. Nothing is pending between calls of
    :meth:`learn`, so a learner can be saved at any point. The policy is used in eval mode, as it is when it plays.

    Args:
        policy: The policy that is improved, in place.
        vector: The weights that the optimizer moves.
        optimizer: Any class of ``torch.optim`` by its name, or a callable from (parameters, lr=) to an optimizer.
        optimizer_args: Further arguments of the optimizer.
        learning_rate: The optimizer's learning rate.
        bptt_steps: Steps through which gradients flow back where the policy remembers; None for all of an episode.
        starts: Number of different starts in a generation, each of them played equally often with other action noise;
            None for a start of its own for every episode.
        seed: Seed of the learner's own random stream. No global random generator is used.

    Attributes:
        policy: The policy that is improved. It is the one that plays.
        center: (D,), the present weights of the policy's net, read only.
        generation: How many times :meth:`learn` was called.
        generator: The learner's own random stream.
        episodes: Episodes that a generation takes, unless the run sets another number.
        resumable: True, because its state is all that it needs to go on.
        has_candidates: False: there is one policy, and only its episodes have scores. Settings that are about
            candidates (`actions`, `reevaluate`, `step_penalty`, `failed`) do not apply to a learner.
        population: 1, because one policy plays.
        noise_rank: None, because no noise is added to the weights.
        drawn: 0, likewise.
        matrices: 0, because it keeps none.
        chunk: The most steps in one forward and backward pass.

    Raises:
        ValueError: If an argument is out of range.
    """

    episodes: ClassVar[int] = 100
    has_candidates: ClassVar[bool] = False
    resumable: ClassVar[bool] = True
    population: ClassVar[int] = 1
    noise_rank: ClassVar[None] = None
    drawn: ClassVar[int] = 0
    matrices: ClassVar[int] = 0

    def __init__(
        self,
        policy: Policy,
        vector: ParamVector,
        *,
        optimizer: str | OptimizerFactory,
        optimizer_args: Mapping[str, Any] | None = None,
        learning_rate: float,
        bptt_steps: int | None = None,
        starts: int | None = None,
        seed: int,
    ) -> None:
        if bptt_steps is not None:
            check_count("bptt_steps", bptt_steps, at_least=1)
            if not policy.recurrent:
                raise ValueError("bptt_steps is for policies that remember: leave it out")
        if starts is not None:
            check_count("starts", starts, at_least=1)
        self.policy = policy
        self.vector = vector
        self.learning_rate = learning_rate
        self.bptt_steps = bptt_steps
        self.starts = starts
        self.chunk = max(1, min(CHUNK, NUMBERS // prod(policy.encoder.input_shape)))
        self.ascent = Ascent(optimizer, vector.read(), learning_rate, optimizer_args)
        self.generation = 0
        self.generator = torch.Generator().manual_seed(derive_seed(check_seed(seed), Stream.SEARCH))

    @property
    def center(self) -> Tensor:
        """(D,), the present weights of the policy's net."""
        return ParamVector(self.policy.net).read()

    def starts_of(self, episodes: int) -> int:
        """The number of different starts among the episodes of a generation.

        Raises:
            ValueError: If the episodes cannot be shared out equally.
        """
        starts = episodes if self.starts is None else self.starts
        if episodes % starts:
            raise ValueError(f"episodes must be a multiple of starts, {starts}, got {episodes}")
        return starts

    def groups(self, episodes: Episodes) -> Tensor:
        """(N,) int64, the number of the group in which each episode is compared: its start's, where those are given."""
        return torch.zeros_like(episodes.seeds) if self.starts is None else episodes.starts

    @torch.enable_grad()
    def learn(self, episodes: Episodes) -> Metrics:
        """Improve the policy by the episodes that it played.

        Where nothing can be learned, as when all returns are equal, the policy stays as it is and the generation
        counts as stalled.

        Args:
            episodes: N episodes, played by the policy as it is, with sampled actions. None of them failed.

        Returns:
            Scalars that describe the update, keyed ``learn/<name>``.
        """
        before = self.vector.read()
        self.policy.eval()
        metrics = self._learn(episodes) if len(episodes) else None
        self.generation += 1
        moved = float(torch.linalg.vector_norm(self.vector.read() - before))
        return (metrics or {}) | {"learn/step_norm": moved, "learn/stalled": float(metrics is None or moved == 0)}

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that :meth:`load_state_dict` needs to go on exactly, except the policy.

        Returns:
            Tensors and plain values: ``generation``, ``generator`` (the state of the random stream) and ``ascent``
            (the state of the optimizer). A subclass adds keys of its own.
        """
        return {
            "generation": self.generation,
            "generator": self.generator.get_state(),
            "ascent": self.ascent.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If the state belongs to another kind of learner, or does not fit the policy.
        """
        known = self.state_dict().keys()
        if state.keys() != known:
            odd = sorted(state.keys() ^ known)
            raise ValueError(f"not the state of a {type(self).__name__}: missing or unknown {odd}")
        self.ascent.load_state_dict(state["ascent"])
        self.generator.set_state(state["generator"])
        self.generation = int(state["generation"])

    @abstractmethod
    def _learn(self, episodes: Episodes) -> Metrics | None:
        """Improve the policy by one episode or more; None if nothing could be learned from them."""

    def _climb(self, lesson: Lesson, entropy_weight: float = 0.0, clip: float = inf) -> tuple[float, float]:
        """Take one step of the optimizer up sum_m w_m log pi(c_m | o_m) + entropy_weight * (sum of the entropies).

        If the lesson knows the probabilities from before, r_m = pi(c_m | o_m) / before takes the logarithm's place, and
        a step counts for nothing once r_m is further from 1 than `clip` in the direction of its weight. A step of the
        optimizer that is not finite is not taken.

        Args:
            lesson: M steps with their weights w_m.
            entropy_weight: The weight of one nat of entropy, in each of the M steps.
            clip: How far a probability may move, as a share of what it was.

        Returns:
            The negative of the first sum, and the mean entropy, both before the step.
        """
        head, parameters = self.policy.head, list(self.vector.parameters.values())
        gradient, loss, entropy = torch.zeros_like(self.vector.read()), 0.0, 0.0
        for part in lesson.parts(self.chunk):
            output = part.outputs(self.policy, self.bptt_steps)
            gain = _gain(part, head.log_prob(output, part.choices), clip)
            with torch.set_grad_enabled(entropy_weight > 0):
                entropies = head.entropy(output).sum()
            objective = gain + entropy_weight * entropies
            gradients = torch.autograd.grad(objective, parameters, allow_unused=True, materialize_grads=True)
            gradient += self.vector.flatten(dict(zip(self.vector.parameters, gradients, strict=True)))
            loss -= gain.item()
            entropy += entropies.item() / len(lesson)
        if gradient.isfinite().all():
            self.vector.write(self.ascent.step(self.vector.read(), gradient, self.learning_rate))
        return loss, entropy


def _gain(part: Lesson, log_prob: Tensor, clip: float) -> Tensor:
    """The sum of a lesson's weighted log-probabilities (M,), or of their clipped ratios to those of before, ()."""
    if part.before is None:
        return (part.weights * log_prob).sum()
    ratio = (log_prob - part.before).exp()
    return torch.minimum(part.weights * ratio, part.weights * ratio.clamp(1 - clip, 1 + clip)).sum()
