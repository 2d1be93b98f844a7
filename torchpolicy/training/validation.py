"""Held-out scores of the center along the way: when they are due, and when they are good enough."""

from math import isfinite

from torch import Tensor

from torchpolicy.base.seeding import Stream
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.output.writers.base import HELD_OUT
from torchpolicy.rollout.evaluation import Evaluation, evaluate_vector
from torchpolicy.rollout.slots import Rollout
from torchpolicy.search.base import Search
from torchpolicy.training.plan import Plan


class Validation:
    """Scores the center of an algorithm on episodes that training does not use.

    Args:
        algorithm: The search or learner whose center is scored.
        rollout: Plays the center.
        plan: How often the center is scored, on how many episodes, and at which score the run stops.

    Attributes:
        reached: Whether the target was reached.
        scores: (generation, held-out score) of every validation, in all sessions.
    """

    def __init__(self, algorithm: Search | Learner, rollout: Rollout, plan: Plan) -> None:
        self._algorithm, self._rollout, self._plan = algorithm, rollout, plan
        self.reached = False
        self.scores: list[tuple[int, float]] = []

    @property
    def settled(self) -> bool:
        """Whether the scores have stayed within the plan's tolerance long enough."""
        return self._plan.is_settled(self.scores)

    def is_due(self, generation: int, promise: float) -> bool:
        """Whether to validate: every few generations, and as soon as training promises the target.

        Args:
            generation: Generations done.
            promise: The center's mean return in training; NaN if it is unknown.
        """
        promising = self._plan.target is not None and promise >= self._plan.target
        return promising or generation % self._plan.eval_every == 0

    def take(self, evaluation: Evaluation, generation: int) -> None:
        """Take a validation into account: a target that it reaches has to be reached on fresh episodes as well."""
        if isfinite(evaluation.mean):
            self.scores.append((generation, evaluation.mean))
        target = self._plan.target
        self.reached = (
            target is not None
            and evaluation.ci[0] >= target
            and self.evaluate(Stream.CONFIRMATION, generation).ci[0] >= target
        )

    def evaluate(self, stream: Stream, generation: int, vector: Tensor | None = None) -> Evaluation:
        """Score the center, or other weights.

        Args:
            stream: Which held-out episodes to play. Those of the test are the same in every generation.
            generation: Generations done.
            vector: (D,), the weights; None for the center.
        """
        return evaluate_vector(
            self._rollout,
            self._algorithm.center if vector is None else vector,
            seed=self._plan.seed,
            stream=stream,
            episodes=self._plan.eval_episodes,
            generation=0 if stream is Stream.TEST else generation,
        )


def held_out(evaluation: Evaluation) -> Metrics:
    """A held-out evaluation as metrics."""
    return dict(zip(HELD_OUT, (evaluation.mean, *evaluation.ci), strict=True))
