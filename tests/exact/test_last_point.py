"""A run ends with a held-out evaluation, which decides nothing and is taken back where the run goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_exactness import facts, strip
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.seeding import Stream
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.evaluation import evaluate_vector
from torchpolicy.rollout.slots import Rollout
from torchpolicy.vectors.params import ParamVector

COMMON: dict[str, Any] = {"population": 6, "eval_episodes": 4, "seed": 1}


class EndAt(tp.callbacks.Callback):
    """Ends the run after three generations, and counts its evaluations."""

    def __init__(self) -> None:
        self.evaluations = 0

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> bool:
        return run.generation == 3

    def on_evaluation(self, run: Any, evaluation: tp.Evaluation) -> None:
        self.evaluations += 1


@pytest.mark.parametrize("end", [{"generations": 3}, {"total_steps": 150}, {}])
@pytest.mark.parametrize("name", ["cem", "reinforce"])
def test_the_curve_reaches_the_last_generation(name: str, end: dict[str, Any]) -> None:
    own = {"episodes": 6} if name == "reinforce" else {"population": 6}
    callback = EndAt()
    common = {"eval_episodes": 4, "seed": 1, "target": None, "eval_every": 100, "callbacks": [callback]}
    result = tp.train(Guess, name, **common, **own, **end)
    assert ["eval/mean_reward" in row for row in result.metrics] == [False] * (len(result.metrics) - 1) + [True]
    last = result.metrics[-1]
    assert last["eval/closing"] == 1
    with Rollout(make_environment(Guess), result.policy) as rollout:
        vector = ParamVector(result.policy.net).read()
        expected = evaluate_vector(
            rollout, vector, seed=1, stream=Stream.VALIDATION, episodes=4, generation=len(result.metrics)
        )
    assert last["eval/mean_reward"] == expected.mean
    assert (last["eval/ci_low"], last["eval/ci_high"]) == expected.ci
    assert callback.evaluations == 0  # it is none that the run was after


def test_an_evaluation_that_was_due_is_not_made_twice() -> None:
    result = tp.train(Guess, "cem", generations=4, eval_every=2, **COMMON)
    assert [row["generation"] for row in result.metrics if "eval/mean_reward" in row] == [2, 4]
    assert not any("eval/closing" in row for row in result.metrics)


def test_the_last_point_of_a_run_that_reached_its_target_is_the_one_that_did() -> None:
    result = tp.train(Guess, "cem", generations=50, eval_every=1, target=1, **COMMON)
    assert result.metrics[-1]["eval/ci_low"] >= 1
    assert "eval/closing" not in result.metrics[-1]


def test_it_changes_no_weights() -> None:
    weights = [
        tp.train(Guess, "cem", generations=5, eval_every=every, keep="last", **COMMON).policy.net.weight
        for every in (1, 3, 5)
    ]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def rows_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_that_goes_on_takes_it_back(workers: int) -> None:
    settled = {"tolerance": 1e-9, "tolerance_generations": 2, "eval_every": 3}
    whole = tp.train(Guess, "cem", generations=8, run_dir="whole", **settled, **COMMON)
    for cut in (2, 4):
        folder = Path(f"part-{cut}")
        tp.train(Guess, "cem", generations=cut, run_dir=folder, workers=workers, **settled, **COMMON)
        assert "eval/closing" in (folder / "metrics.jsonl").read_text()
        assert facts(tp.resume(folder, env=Guess, generations=8)) == facts(whole)
        assert strip(rows_of(folder)) == strip(rows_of(Path("whole")))


def test_a_run_that_was_killed_before_its_test_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tp.train(Guess, "cem", generations=3, **COMMON)

    def dies(trainer: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("torchpolicy.training.trainer.Trainer.test", dies)
        with pytest.raises(KeyboardInterrupt):
            tp.train(Guess, "cem", generations=3, run_dir="part", **COMMON)
    assert facts(tp.resume("part", env=Guess)) == facts(whole)
