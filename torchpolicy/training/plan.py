"""When a run ends and why, and how it is scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite

from torchpolicy.base.checks import MOST_EPISODES, check_choice, check_count, check_range

BUDGETS = ("generations", "total_steps", "seconds")

REASONS = {
    "target": "its target is reached",
    "tolerance": "its score has settled",
    "callback": "a callback ended it",
    "generations": "its budget of generations is used up",
    "total_steps": "its budget of environment steps is used up",
    "seconds": "its budget of seconds is used up",
}
"""All reasons for which a run may have ended, the first of which is told, each with the words for it."""


def in_words(reasons: Mapping[str, object]) -> str:
    """The most important of the reasons for which a run has ended, in words."""
    return next(words for reason, words in REASONS.items() if reason in reasons)


@dataclass(frozen=True)
class Plan:
    """How long a run goes on, and how its center is scored on the way.

    Attributes:
        seed: Root of the seeds of all episodes.
        episodes: E, episodes for each candidate in a generation, or for a learner's policy. auto: as many as a search
            turns out to need; see :class:`torchpolicy.training.need.EpisodesByNeed`.
        target: Held-out score at which the run stops. The lower end of the center's interval has to reach it on two
            sets of episodes. None: go on until the budget is used up.
        generations: Budget of generations.
        total_steps: Budget of environment steps in training.
        seconds: Budget of wall time. It is the only budget with which a run may end elsewhere the next time.
        tolerance: Stop when the center's held-out scores have stayed within this range for `tolerance_generations`.
        tolerance_generations: Generations that the scores must stay within `tolerance`.
        actions: How a search's candidates choose their actions in training: greedy or sampled.
        reevaluate: Fresh episodes that the best quarter of the candidates play as well. These candidates are then
            ordered among themselves by the mean of all the episodes they played. 0 plays none.
        failed: What happens to a candidate with a failed episode. dropped: the search is not told about it; worst: it
            gets the lowest score of its generation.
        step_penalty: Amount that is subtracted from the return for each step, in the scores of training only.
        stop_early: Whether episodes of a search's candidates are stopped when they have fallen behind.
        normalize_observations: Whether the policy's normaliser learns from what candidates see.
        eval_episodes: Episodes of each held-out evaluation.
        eval_every: Generations between validations; glances between them are :class:`Validation`'s own affair.
        keep: Which policy is tested and saved at the end: the one with the best held-out score, or the last.
        checkpoint_seconds: Seconds between checkpoints; longer where they would take more than 1 % of the time. 0
            writes one after every generation, however long that takes.

    Raises:
        ValueError: If a value is out of range.
    """

    seed: int
    episodes: int | str = 1
    target: float | None = None
    generations: int | None = None
    total_steps: int | None = None
    seconds: float | None = None
    tolerance: float | None = None
    tolerance_generations: int = 50
    actions: str = "greedy"
    reevaluate: int = 0
    failed: str = "dropped"
    step_penalty: float = 0.0
    stop_early: bool = False
    normalize_observations: bool = False
    eval_episodes: int = 100
    eval_every: int = 10
    keep: str = "best"
    checkpoint_seconds: float = 10.0

    def __post_init__(self) -> None:
        if isinstance(self.episodes, str):
            if self.episodes != "auto":
                raise ValueError(f"episodes must be a whole number or 'auto', got {self.episodes!r}")
        else:
            check_count("episodes", self.episodes, at_least=1, at_most=MOST_EPISODES)
        check_count("eval_episodes", self.eval_episodes, at_least=1, at_most=MOST_EPISODES)
        if self.reevaluate and self.episodes == "auto":
            raise ValueError("reevaluate does not go with episodes='auto', which plays more episodes where they help")
        check_choice("keep", self.keep, ("best", "last"))
        check_choice("actions", self.actions, ("greedy", "sampled"))
        for name in ("eval_every", "tolerance_generations"):
            check_count(name, getattr(self, name), at_least=1)
        check_count("reevaluate", self.reevaluate, at_least=0, at_most=MOST_EPISODES)
        check_choice("failed", self.failed, ("dropped", "worst"))
        check_range("step_penalty", self.step_penalty, -inf, inf)
        if self.tolerance is not None:
            check_range("tolerance", self.tolerance, 0, inf, open_low=True)
        for name in ("generations", "total_steps"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), at_least=1)
        if self.target is not None and self.eval_episodes < 2:
            raise ValueError(f"eval_episodes must be at least 2 for a target to be judged, got {self.eval_episodes}")
        if self.seconds is not None:
            check_range("seconds", self.seconds, 0, inf, open_low=True)
        check_range("checkpoint_seconds", self.checkpoint_seconds, 0, inf)

    @property
    def sampled(self) -> bool:
        """Whether candidates sample their actions in training."""
        return self.actions == "sampled"

    @property
    def budget(self) -> dict[str, float | None]:
        """Generations, steps and seconds by name; None for one that is not limited."""
        amounts = {name: getattr(self, name) for name in BUDGETS}
        return {name: None if amount is None else float(amount) for name, amount in amounts.items()}

    def is_settled(self, scores: Sequence[tuple[int, float]]) -> bool:
        """Whether held-out scores have stayed within the tolerance long enough.

        Args:
            scores: (generation, score), in the order of generations.
        """
        if self.tolerance is None or not scores:
            return False
        begin = scores[-1][0] - self.tolerance_generations
        before = [at for at, (generation, _) in enumerate(scores) if generation <= begin]
        window = [score for _, score in scores[before[-1] :]] if before else []
        return bool(window) and all(map(isfinite, window)) and max(window) - min(window) < self.tolerance

    def shares(self, *, generations: int, total_steps: int, seconds: float) -> dict[str, float]:
        """The share of each limited budget that is used up; 1 or more means all of it."""
        used = {"generations": generations, "total_steps": total_steps, "seconds": seconds}
        return {name: used[name] / amount for name, amount in self.budget.items() if amount is not None}
