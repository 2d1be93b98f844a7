"""Glances at the center between validations: where they are cheap, exact, and without any effect."""

from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from worlds import Guess

import torchpolicy as tp

SETTINGS: dict[str, Any] = {"population": 60, "eval_episodes": 4, "eval_every": 20, "target": None, "seed": 1}


def train(run_dir: str, **settings: Any) -> tp.Result:
    return tp.train(Guess, "cem", **SETTINGS | {"generations": 30, "run_dir": run_dir} | settings)


def curve(result: tp.Result) -> list[tuple[float, float]]:
    return [(row["generation"], row["glance/mean_reward"]) for row in result.metrics if "glance/mean_reward" in row]


def test_a_short_run_has_twenty_points_at_five_percent_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    played: list[int] = []
    play = tp.Rollout.play

    def counts(self: tp.Rollout, candidates: Any, seeds: Any, **how: Any) -> Any:
        outcome = play(self, candidates, seeds, **how)
        played.append(outcome.env_steps if len(candidates) == 1 else 0)
        return outcome

    monkeypatch.setattr(tp.Rollout, "play", counts)
    result = train("run", eval_every=10**6, keep="last")
    points = curve(result)
    assert len(points) + 1 >= 20  # and the score of the last policy
    assert points[0][0] <= 5
    longest = 4 * 10  # four episodes, of which the cost of the last ones was foreseen by the length of others
    assert sum(played[:-2]) <= 0.05 * result.metrics[-1]["rollout/env_steps"] + longest


def test_they_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_glances = train("with")
    monkeypatch.setattr("torchpolicy.training.validation.GLANCE_SHARE", 0.0)
    without = train("without")
    assert len(curve(with_glances)) > len(curve(without)) == 0
    for one, other in zip(with_glances.metrics, without.metrics, strict=True):
        assert one.get("eval/mean_reward") == other.get("eval/mean_reward")
    assert torch.equal(with_glances.policy.net.weight, without.policy.net.weight)  # type: ignore[arg-type]
    assert with_glances.evaluation.mean == without.evaluation.mean


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_interrupted_has_the_same_points(workers: int) -> None:
    whole = train("whole")
    train("parts", generations=13, checkpoint_seconds=0)
    rest = tp.resume("parts", env=Guess, generations=30, workers=workers)
    assert curve(rest) == curve(whole)


def test_dear_ones_are_not_made() -> None:
    assert len(curve(train("run", population=4, eval_episodes=10))) <= 2


def test_tensorboard_draws_them_in_the_curve_of_held_out_scores() -> None:
    result = train("run")
    board = EventAccumulator("run").Reload()
    drawn = {event.step: event.value for event in board.Scalars("eval/mean_reward")}
    scores = {
        row["rollout/env_steps"]: row.get("eval/mean_reward", row.get("glance/mean_reward")) for row in result.metrics
    }
    assert drawn == {step: pytest.approx(score) for step, score in scores.items() if score is not None}
    assert len(drawn) > len(curve(result)) > 10
    assert not any(tag.startswith("glance/") for tag in board.Tags()["scalars"])
