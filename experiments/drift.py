"""What keeps DeepCEM from losing what it had: limits on the change in a generation, and schedules.

All ways have the settings of the preset for LunarLander but its entropy bonus, which was found here. A row says how the
run ended, and the best of its validations.

python experiments/drift.py run --seed 100 101     adds the rows that are not there yet
python experiments/drift.py table                  prints the table, over all seeds
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import rows
import torch

import torchpolicy as tp
from torchpolicy.learn.lesson import Lesson

RESULTS = Path(__file__).parent / "results" / "drift.json"

STEPS = 1_000_000
ENVS = ("LunarLander-v3",)

PRESET: dict[str, Any] = {
    "elite": "advantages",
    "starts": 5,
    "discount": 0.99,
    "minibatch": 1024,
    "learning_rate": 0.005,
}
EPISODES = 20

WAYS: dict[str, dict[str, Any]] = {
    "preset": {},
    "KL at most 0.01": {"most_change": 0.01},
    "KL at most 0.03": {"most_change": 0.03},
    "learning rate to 0": {"rate_at_end": 0.0},
    "entropy bonus 0.01": {"bonus": (0.01, 0.01)},
    "entropy bonus 0.01 to 0": {"bonus": (0.01, 0.0)},
}
"""What differs from that; see :class:`Careful`."""


class Careful(tp.DeepCEM):
    """DeepCEM with a limit on the change in a generation, and with schedules over a run.

    Args:
        policy: The policy that is improved, in place.
        share: Returns the share of the run that is over.
        most_change: Mean of log pi_before - log pi over the batch's choices, an estimate of the Kullback-Leibler
            divergence in nats, beyond which the passes over a batch end.
        rate_at_end: The learning rate at the end of the run, in units of the first one.
        bonus: The entropy bonus at the beginning and at the end.
        **settings: Those of DeepCEM.
    """

    def __init__(
        self,
        policy: tp.Policy,
        share: Any,
        most_change: float = np.inf,
        rate_at_end: float = 1.0,
        bonus: tuple[float, float] = (0.0, 0.0),
        **settings: Any,
    ) -> None:
        super().__init__(policy, **settings)
        self._share, self._most_change, self._bonus = share, most_change, bonus
        self._rates = self.learning_rate, self.learning_rate * rate_at_end

    def _fit(self, lesson: Lesson) -> Iterator[tuple[float, float]]:
        share = self._share()
        self.learning_rate = float(np.interp(share, (0, 1), self._rates))
        self.entropy_bonus = float(np.interp(share, (0, 1), self._bonus))
        before = self._log_prob(lesson)
        for found in super()._fit(lesson):
            yield found
            if self._most_change < np.inf and (before - self._log_prob(lesson)).mean() > self._most_change:
                return

    @torch.no_grad()
    def _log_prob(self, lesson: Lesson) -> torch.Tensor:
        return self.policy.head.log_prob(self.policy(lesson.observations), lesson.choices)


class Clock(tp.callbacks.Callback):
    """Knows how much of a run's steps is over."""

    share = 0.0

    def on_generation_end(self, trainer: Any, metrics: Any) -> None:
        self.share = min(1.0, trainer.env_steps / STEPS)


def run(env: str, way: str, seed: int) -> rows.Row:
    """One run as a row."""
    processor, clock = time.process_time(), Clock()
    spaces = gymnasium.make(env)
    policy = tp.MLPPolicy(spaces.observation_space, spaces.action_space, hidden=64, seed=seed)
    learner = Careful(policy, lambda: clock.share, seed=seed, **PRESET, **WAYS[way])
    with tempfile.TemporaryDirectory() as folder:
        budget: dict[str, Any] = {"episodes": EPISODES, "total_steps": STEPS, "target": None, "eval_every": 5}
        settings: dict[str, Any] = {"normalize_observations": True, "keep": "last", "log_dir": folder}
        result = tp.train(env, learner, seed=seed, callbacks=[clock], **budget, **settings)
    curve = rows.curve(result.metrics)
    return {
        **{"env": env, "way": way, "seed": seed, "mean": result.evaluation.mean},
        "best": max(score for _, score in curve),
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
        "curve": curve,
    }


def table() -> None:
    """A Markdown table of all ways, over all seeds: they were for tuning."""
    heads = ["environment", "way", "at the end, median", "best validation, median", "each end", "seeds"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for env in ENVS:
        for way in WAYS:
            mine = [row for row in rows.read(RESULTS) if (row["env"], row["way"]) == (env, way)]
            if mine:
                end, best = (f"{np.median([row[name] for row in mine]):.0f}" for name in ("mean", "best"))
                each = ", ".join(f"{row['mean']:.0f}" for row in mine)
                print(f"| {env} | {way} | {end} | {best} | {each} | {len(mine)} |")


if __name__ == "__main__":
    rows.main(__doc__, RESULTS, run, table, seeds=5, env=ENVS, way=WAYS)
