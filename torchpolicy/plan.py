"""How long a run goes on, and how it is scored."""

from dataclasses import dataclass
from math import inf

from torchpolicy.checks import check_count, check_range


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
    eval_episodes: int = 100
    eval_every: int = 10
    checkpoint_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name in ("episodes", "eval_episodes", "eval_every"):
            check_count(name, getattr(self, name), at_least=1)
        for name in ("generations", "total_steps"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), at_least=1)
        if self.target is not None and self.eval_episodes < 2:
            raise ValueError(f"eval_episodes must be at least 2 for a target to be judged, got {self.eval_episodes}")
        if self.seconds is not None:
            check_range("seconds", self.seconds, 0, inf, open_low=True)
        check_range("checkpoint_seconds", self.checkpoint_seconds, 0, inf)

    def progress(self, generation: int, env_steps: int, elapsed: float) -> float:
        """Share of the budget that is used up, at most 1."""
        used = (generation, self.generations), (env_steps, self.total_steps), (elapsed, self.seconds)
        return min(1.0, max((amount / budget for amount, budget in used if budget is not None), default=0.0))
