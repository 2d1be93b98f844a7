"""How long a run goes on, and how it is scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite

from torchpolicy.base.checks import MOST_EPISODES, check_choice, check_count, check_range


@dataclass(frozen=True)
class Plan:
    """How long a run goes on, and how its center is scored on the way.

    Attributes:
        seed: Root of all episodes' seeds.
        episodes: E, per candidate and generation.
        target: Stop when the center's held-out score reaches it, lower end of the interval, on two
            sets of episodes; None: go on until the budget is used up.
        generations: Budget of generations.
        total_steps: Budget of environment steps in training.
        seconds: Budget of wall time. The only one that makes a run end elsewhere the next time.
        tolerance: Stop when the center's held-out scores have lain within it for `tolerance_generations`.
        tolerance_generations: How long.
        reevaluate: Fresh episodes that the best quarter of the candidates play as well; then their order among
            themselves is that of the means of all they played. 0: none.
        failed: What becomes of a candidate with a failed episode: dropped, as if it had not been asked for, or worst,
            with the lowest score of its generation.
        step_penalty: Amount that is subtracted from the return for each step, in the scores of training alone.
        normalize_observations: Whether the policy's normaliser learns from what candidates see.
        eval_episodes: Of each held-out evaluation.
        eval_every: Generations between validations.
        checkpoint_seconds: Between checkpoints; longer where they would take more than 1 % of the time. 0: one
            after every generation, whatever it takes.
    """

    seed: int
    episodes: int = 1
    target: float | None = None
    generations: int | None = None
    total_steps: int | None = None
    seconds: float | None = None
    tolerance: float | None = None
    tolerance_generations: int = 50
    reevaluate: int = 0
    failed: str = "dropped"
    step_penalty: float = 0.0
    normalize_observations: bool = False
    eval_episodes: int = 100
    eval_every: int = 10
    checkpoint_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("episodes", "eval_episodes"):
            check_count(name, getattr(self, name), at_least=1, at_most=MOST_EPISODES)
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
    def budget(self) -> list[float | None]:
        """Generations, steps and seconds."""
        return [each if each is None else float(each) for each in (self.generations, self.total_steps, self.seconds)]

    def is_settled(self, scores: Sequence[tuple[int, float]]) -> bool:
        """Whether held-out scores, (generation, score) in their order, have stayed within the tolerance long enough."""
        if self.tolerance is None or not scores:
            return False
        begin = scores[-1][0] - self.tolerance_generations
        before = [at for at, (generation, _) in enumerate(scores) if generation <= begin]
        window = [score for _, score in scores[before[-1] :]] if before else []
        return bool(window) and all(map(isfinite, window)) and max(window) - min(window) < self.tolerance

    def progress(self, generation: int, env_steps: int, elapsed: float) -> float:
        """Share of the budget that is used up, at most 1."""
        used = (generation, self.generations), (env_steps, self.total_steps), (elapsed, self.seconds)
        return min(1.0, max((amount / budget for amount, budget in used if budget is not None), default=0.0))
