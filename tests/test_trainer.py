"""What decides when a run stops, and what is told about it."""

from typing import Any

import numpy as np
import pytest
import torch
from worlds import Guess, Hover, Nowhere

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.seeding import Stream
from torchpolicy.rollout.evaluation import Evaluation
from torchpolicy.training import validation as module


def scores(returns: list[float]) -> Evaluation:
    return Evaluation(np.array(returns), np.ones(len(returns), np.int64), [])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Stream, int]]:
    """Evaluations that were asked for; answered from `answers` by stream."""
    asked: list[tuple[Stream, int]] = []

    def answer(rollout: object, vector: object, *, stream: Stream, generation: int, **_: object) -> Evaluation:
        asked.append((stream, generation))
        return ANSWERS[stream]

    monkeypatch.setattr(module, "evaluate_vector", answer)
    ANSWERS.update({stream: scores([10.0] * 9 + [9.0]) for stream in Stream})
    return asked


ANSWERS: dict[Stream, Evaluation] = {}


def train(**arguments: Any) -> tp.Result:
    return tp.train(Guess, "cem", **{"population": 6, "generations": 4, "eval_every": 1, "target": 9.5, **arguments})


def test_two_fresh_sets_must_agree_and_the_test_is_a_third(asked: list[tuple[Stream, int]]) -> None:
    result = train()
    assert asked == [(Stream.VALIDATION, 1), (Stream.CONFIRMATION, 1), (Stream.TEST, 0)]
    assert len(result.metrics) == 1


def test_no_stop_without_confirmation(asked: list[tuple[Stream, int]]) -> None:
    ANSWERS[Stream.CONFIRMATION] = scores([9.0] * 10)
    assert len(train().metrics) == 4
    assert asked.count((Stream.VALIDATION, 3)) == asked.count((Stream.CONFIRMATION, 3)) == 1


def test_the_lower_end_of_the_interval_decides(asked: list[tuple[Stream, int]]) -> None:
    ANSWERS[Stream.VALIDATION] = scores([12.0] * 8 + [0.0, 0.0])
    assert ANSWERS[Stream.VALIDATION].mean > 9.5
    assert len(train().metrics) == 4
    assert all(stream is not Stream.CONFIRMATION for stream, _ in asked)


def test_a_promising_center_is_validated_early(asked: list[tuple[Stream, int]]) -> None:
    train(target=-1, eval_every=100)
    assert asked[0] == (Stream.VALIDATION, 1)


def test_std_is_each_layers_own_unless_given() -> None:
    for std, expected in ((None, 3**-0.5), (2.0, 2.0)):
        result = tp.train(Guess, "cem", population=2000, generations=1, eval_episodes=2, std=std, run_dir=f"run-{std}")
        state, _ = load_checkpoint(result.run_dir / "checkpoints")
        assert state is not None
        assert state["algorithm"]["initial_std"].tolist() == pytest.approx([expected] * 12)


def test_returns_and_rank_in_the_metrics_are_what_they_say() -> None:
    class Fixed(tp.Search):
        """Asks for the same two candidates, one of which always answers 0."""

        def _sample(self) -> torch.Tensor:
            candidates = torch.zeros(2, self.dim)
            candidates[1] = self.center
            return candidates

        def _update(self, candidates: torch.Tensor, scores: torch.Tensor) -> dict[str, float]:
            return {}

    center = torch.cat([torch.eye(3).flatten(), torch.zeros(3)])
    row = tp.train(Guess, Fixed(center, population=2), generations=1, eval_episodes=2).metrics[0]
    assert row["search/center_score"] == row["rollout/ep_rew_max"] == 10
    assert row["rollout/ep_rew_min"] < 10
    assert row["search/center_rank"] == 1.5  # beside its equal
    assert row["rollout/ep_rew_mean"] == (10 + row["rollout/ep_rew_min"]) / 2


@pytest.mark.parametrize(
    ("env", "settings", "line"),
    [
        (Nowhere, {}, "no two scores have differed for 10 generations"),
        (Guess, {"min_std": 0.9, "std": 0.5}, "most of std is at its floor"),
        ("CartPole-v1", {"std": 1e-9, "generations": 5}, "e-09 of the weights, so candidates hardly differ"),
        (Hover, {"population": 40, "generations": 80, "seed": 2}, "have run to the time limit, without a better"),
    ],
)
def test_a_run_that_stands_still_says_why_in_one_line(
    env: type, settings: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tp.train(env, "cem", **{"population": 20, "generations": 40, "target": None, "seed": 1, **settings})
    said = [text for text in capsys.readouterr().err.splitlines() if text.startswith("generation ") and ": " in text]
    assert len(said) == 1
    assert line in said[0]


@pytest.mark.parametrize("tolerance", [0.5, 0.01])
def test_a_score_that_has_settled_ends_the_run(
    asked: list[tuple[Stream, int]], tolerance: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {"target": None, "generations": 30, "tolerance": tolerance, "tolerance_generations": 5}
    result = train(eval_every=2, run_dir="run", **arguments)
    assert len(result.metrics) == 8  # validations at 2 and 8 are the first 5 or more apart
    train(eval_every=2, run_dir="run", **arguments)
    assert "run is finished: its score has settled" in capsys.readouterr().err
    assert len(tp.resume("run", env=Guess, tolerance=None).metrics) == 30


def test_a_score_that_moves_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(rollout: object, vector: object, *, generation: int, **_: object) -> Evaluation:
        return scores([float(generation)] * 2)

    monkeypatch.setattr(module, "evaluate_vector", answer)
    assert len(train(target=None, generations=20, tolerance=3.0, tolerance_generations=4).metrics) == 20
    assert len(train(target=None, generations=20, tolerance=4.5, tolerance_generations=4).metrics) == 5


class Keep(tp.callbacks.Callback):
    """Keeps the trainer of a run, and may end the run."""

    def __init__(self, end: bool = False) -> None:
        self.end = end
        self.trainer: Any = None

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> bool:
        self.trainer = run
        return self.end


@pytest.mark.parametrize(
    ("settings", "end", "reasons", "words"),
    [
        ({"target": 9.5}, False, {"target": 9.5}, "its target is reached"),
        (
            {"target": None, "tolerance": 1.0, "tolerance_generations": 2},
            False,
            {"tolerance": 1.0},
            "its score has settled",
        ),
        ({"target": None}, True, {"callback": True}, "a callback ended it"),
        ({"target": None, "generations": 2}, False, {"generations": 2}, "its budget of generations is used up"),
        (
            {"target": None, "total_steps": 100},
            False,
            {"total_steps": 100},
            "its budget of environment steps is used up",
        ),
        (
            {"target": None, "seconds": 0.5, "generations": 10**9},
            False,
            {"seconds": 0.5},
            "its budget of seconds is used up",
        ),
        ({"target": 9.5, "generations": 1}, True, {"target": 9.5, "callback": True, "generations": 1}, "its target"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_why_a_run_ended_is_data(
    settings: dict[str, Any], end: bool, reasons: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = Keep(end)
    train(run_dir="run", callbacks=[keep], **{"generations": 50} | settings)
    assert keep.trainer.reasons == reasons
    capsys.readouterr()
    tp.resume("run", env=Guess)
    assert f"run is finished: {words}" in capsys.readouterr().err


def test_a_large_population_is_told_of_before_it_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torchpolicy.runs.session.WORTH_TELLING", 2**20)
    common: dict[str, Any] = {"policy_args": {"hidden": (64, 64)}, "population": 64, "generations": 1}
    tp.train(Guess, "nes", **common, eval_episodes=2)
    said = capsys.readouterr().err
    assert said.index("this will take about 0.0 GiB of memory") < said.index("generation 1 |")
    tp.train(Guess, "nes", **common, eval_episodes=2, noise_rank=1)
    assert "the weights of a population" not in capsys.readouterr().err
