"""Held-out scores of the center along the way: when they are due, and when they are good enough."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from torch import Tensor

from torchpolicy.base.seeding import Stream
from torchpolicy.base.types import Metrics
from torchpolicy.learn.base import Learner
from torchpolicy.rollout.evaluation import Evaluation, evaluate_vector
from torchpolicy.rollout.slots import Rollout
from torchpolicy.search.base import Search
from torchpolicy.training.best import Best
from torchpolicy.training.plan import Plan
from torchpolicy.vectors.params import ParamVector

GLANCE_EPISODES = 10
"""Episodes of a glance at most."""

GLANCE_SHARE = 0.05
"""Share of the environment steps of training that glances take at most."""

GLANCE_SPACING = 10
"""Glances are apart by the number of generations so far, divided by this, so that the first hundred generations of a
run have some thirty points, and longer runs pay less and less."""


class Validation:
    """Scores the center of an algorithm on episodes that training does not use.

    Validations are those that a plan asks for, and decide when a run ends and which policy it keeps. Between them there
    are glances, of a few episodes each, where they cost little; they serve the learning curve and decide nothing.

    Args:
        algorithm: The search or learner whose center is scored.
        rollout: Plays the center.
        plan: How often the center is scored, on how many episodes, and at which score the run stops.

    Attributes:
        reached: Whether the target was reached.
        scores: (generation, held-out score) of every validation, in all sessions.
        best: The policy with the best of these scores; empty if the plan keeps the last policy.
        glanced: The generation of the last glance, and the environment steps of all of them.
    """

    def __init__(self, algorithm: Search | Learner, rollout: Rollout, plan: Plan) -> None:
        self._algorithm, self._rollout, self._plan = algorithm, rollout, plan
        self.reached = False
        self.scores: list[tuple[int, float]] = []
        self.best = Best()
        self.glanced = {"generation": 0, "steps": 0}
        self._latest: tuple[int, Evaluation] | None = None  # the last held-out evaluation, and its generation

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

    def glance(self, generation: int, env_steps: int, length: float) -> Evaluation | None:
        """A score of the center on a few episodes, if one is due; it depends on counts of steps alone, on no clock.

        Args:
            generation: Generations done.
            env_steps: Environment steps of training.
            length: Mean length of this generation's episodes, from which the cost is told; NaN if it is unknown.
        """
        last = max(self.glanced["generation"], self.scores[-1][0] if self.scores else 0)
        episodes = min(GLANCE_EPISODES, self._plan.eval_episodes)
        cheap = self.glanced["steps"] + episodes * length <= GLANCE_SHARE * env_steps
        if not cheap or generation - last < max(1, generation // GLANCE_SPACING):
            return None
        evaluation = self._play(self._algorithm.center, Stream.VALIDATION, generation, episodes)
        steps = self.glanced["steps"] + int(evaluation.lengths.sum())
        self.glanced = {"generation": generation, "steps": steps}
        return evaluation

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
        if self._plan.keep == "best":
            self.best.take(evaluation.mean, generation, self._rollout.policy.state_dict())

    def evaluate(self, stream: Stream, generation: int) -> Evaluation:
        """Score the center.

        Args:
            stream: Which held-out episodes to play.
            generation: Generations done.
        """
        evaluation = self._play(self._algorithm.center, stream, generation)
        if stream is Stream.VALIDATION:
            self._latest = generation, evaluation
        return evaluation

    def keep_best(self, generation: int) -> str | None:
        """Give the policy the weights with the best held-out score, if those of the last generation score less.

        Where the target is reached the last ones are kept, because they alone were scored on two sets of episodes.
        A score of the last generation that was not due is no part of any state: a run that goes on has never seen it.

        Args:
            generation: Generations done.

        Returns:
            What there is to tell the user; None if the last policy is kept.
        """
        best = self.best
        if best.score is None or best.generation == generation or self.reached:
            return None
        if self._latest is not None and self._latest[0] == generation:
            last = self._latest[1].mean
        else:
            last = self.evaluate(Stream.VALIDATION, generation).mean
        if last >= best.score:
            return None
        self._rollout.policy.load_state_dict(best.policy)
        scores = f"{best.score:.5g}, against {last:.5g} at the end"
        return f"kept: the policy of generation {best.generation}, with the best held-out score ({scores})"

    def test(self) -> Evaluation:
        """Score the policy on the episodes of the test, which are the same in every generation."""
        return self._play(ParamVector(self._rollout.policy.net).read(), Stream.TEST, 0)

    def state_dict(self) -> dict[str, Any]:
        """What is remembered from generation to generation, and the target for which `reached` holds."""
        return {
            "reached": self.reached,
            "target": self._plan.target,
            "validations": [list(each) for each in self.scores],
            "best": self.best.state_dict(),
            "glanced": dict(self.glanced),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state, which may hold more than this; earlier versions kept less."""
        self.reached = state["reached"] and state["target"] == self._plan.target
        self.scores = [(generation, score) for generation, score in state["validations"]]
        if "best" in state:
            self.best.load_state_dict(state["best"])
        self.glanced = dict(state.get("glanced", self.glanced))

    def _play(self, vector: Tensor, stream: Stream, generation: int, episodes: int | None = None) -> Evaluation:
        """Score weights (D,) on the first episodes of a stream, or on as many as the plan says."""
        seed, episodes = self._plan.seed, episodes or self._plan.eval_episodes
        return evaluate_vector(
            self._rollout, vector, seed=seed, stream=stream, episodes=episodes, generation=generation
        )


def named(keys: Sequence[str], evaluation: Evaluation) -> Metrics:
    """An evaluation as metrics, by the keys of its mean and of the ends of its interval."""
    return dict(zip(keys, (evaluation.mean, *evaluation.ci), strict=True))
