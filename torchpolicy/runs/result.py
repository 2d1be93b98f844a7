"""The result of training, and what can be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchpolicy.output.export import export
from torchpolicy.output.film import record
from torchpolicy.output.plots import plot
from torchpolicy.policies.base import Policy
from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.runs.folder import name_of
from torchpolicy.runs.hints import shell_name
from torchpolicy.runs.trained import evaluate


@dataclass(frozen=True)
class Result:
    """The result of a training run.

    Attributes:
        policy: The trained policy: the one with the best held-out score, or the last, as the run's `keep` says.
        run_dir: The run's folder.
        evaluation: Scores of that policy on held-out episodes that training never used.
        metrics: One dictionary a generation, as in ``metrics.jsonl``.
        environment: Arguments of :func:`train` that make the environment: env, env_args, max_episode_steps, backend.
        algorithm: Name of the algorithm that trained the policy.
    """

    policy: Policy
    run_dir: Path
    evaluation: Evaluation
    metrics: list[dict[str, float]]
    environment: Mapping[str, Any]
    algorithm: str
    _noise_rank: int | None
    _code: Mapping[str, object]

    def __repr__(self) -> str:
        return (
            f"Result of {self.algorithm} in {name_of(self.environment['env'])}\n"
            f"  test     {self.evaluation}\n"
            f"  trained  {self.effort}\n"
            f"  run_dir  {self.run_dir}"
        )

    @property
    def effort(self) -> str:
        """The generations, environment steps and seconds of training, in words."""
        if not self.metrics:
            return "not at all"
        last = self.metrics[-1]
        return (
            f"{len(self.metrics):,} generation{'s' if len(self.metrics) > 1 else ''}, "
            f"{last['rollout/env_steps']:,.0f} env steps, "
            f"{last['time/elapsed']:,.1f} s"
        )

    def evaluate(self, episodes: int = 100, seed: int = 1, *, sampled: bool = False) -> Evaluation:
        """Score the policy on other episodes; see :func:`evaluate`."""
        settings = {**self.environment, "noise_rank": self._noise_rank}
        return evaluate(self.policy, episodes=episodes, seed=seed, sampled=sampled, **settings)

    def record(self, path: str | Path = "episode.gif", seed: int = 1) -> Path:
        """Draw an episode of the policy into a file; see :func:`record`.

        Raises:
            ValueError: If it cannot be drawn, or the environment is your own and cannot be imported.
        """
        known = {name: value for name, value in self.environment.items() if name != "backend"}
        known["env"] = shell_name(known["env"])
        if known["env"] is None:
            raise ValueError(
                "the environment is drawn in another process, which cannot import it: define it in a module of its own"
            )
        return record(self.policy, path=path, seed=seed, **known)

    def export(self, path: str | Path = "policy.pt2") -> Path:
        """Write the policy as a program of ``torch.export``; see :func:`export`."""
        return export(self.policy, path)

    def plot(self, path: str | Path = "runs.png", metric: str | None = None) -> Path:
        """Draw the learning curve of the run; see :func:`plot`."""
        return plot([self.run_dir], path, metric)
