"""The policy that a run keeps: the one with the best held-out score, or the last."""

from typing import Any

import pytest
import torch
from quick import quick
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.training.best import Best


class Scripted(tp.Search):
    """Moves its center to the right answer, a diagonal, and away from it again."""

    def _sample(self) -> torch.Tensor:
        return self.center + torch.randn(self.population, self.dim, generator=self.generator)

    def _update(self, candidates: torch.Tensor, scores: torch.Tensor) -> dict[str, float]:
        sign = 1.0 if self.generation in (3, 4) else -1.0
        self.center = torch.cat([sign * torch.eye(3).flatten(), torch.zeros(3)])
        return {}


def run(**settings: Any) -> tp.Result:
    usual: dict[str, Any] = {"eval_every": 1, "eval_episodes": 20, "target": None, "generations": 8}
    return tp.train(Guess, Scripted(torch.zeros(12), population=4), **usual | settings)


def test_the_best_center_is_kept_and_the_search_goes_on_from_its_last(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(run_dir="run")
    weights = tp.ParamVector(result.policy.net).read()
    assert torch.equal(weights[:9].view(3, 3), torch.eye(3))
    assert result.evaluation.mean == 10
    assert tp.load("run").net.state_dict().keys() == result.policy.net.state_dict().keys()
    assert torch.equal(tp.ParamVector(tp.load("run").net).read(), weights)
    assert "kept: the policy of generation 5" in capsys.readouterr().err  # the later one of equal ones
    state, _ = load_checkpoint(result.run_dir / "checkpoints")
    assert state is not None
    assert torch.equal(state["algorithm"]["center"][:9].view(3, 3), -torch.eye(3))


def test_the_last_one_is_kept_if_that_is_asked_for() -> None:
    weights = tp.ParamVector(run(keep="last").policy.net).read()
    assert torch.equal(weights[:9].view(3, 3), -torch.eye(3))


def test_the_normaliser_of_that_generation_is_kept_too() -> None:
    result = run(normalize_observations=True)
    assert result.policy.normalizer is not None
    counts = [int(run(normalize_observations=True, generations=5).policy.normalizer.count)]  # type: ignore[union-attr]
    assert int(result.policy.normalizer.count) == counts[0]


@pytest.mark.parametrize("first", [2, 4, 6])
def test_a_run_that_goes_on_keeps_what_a_whole_one_keeps(first: int) -> None:
    arguments: dict[str, Any] = {"eval_every": 3, "eval_episodes": 10, "population": 6, "target": None}
    whole = quick(generations=9, **arguments)
    quick(generations=first, run_dir="part", **arguments)
    part = tp.resume("part", env=Guess, generations=9)
    assert part.evaluation.mean == whole.evaluation.mean
    assert torch.equal(tp.ParamVector(part.policy.net).read(), tp.ParamVector(whole.policy.net).read())


def test_a_score_that_is_not_finite_does_not_count() -> None:
    best = Best()
    for score, generation in ((float("nan"), 1), (2.0, 2), (1.0, 3)):
        best.take(score, generation, {"w": torch.tensor(score)})
    assert (best.score, best.generation) == (2.0, 2)


def test_where_the_target_is_reached_the_last_policy_is_kept() -> None:
    result = run(run_dir="run", target=9.0)  # the fourth generation answers right, on two sets of episodes
    assert result.evaluation.mean == 10
    assert len(result.metrics) == 4


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="keep must be"):
        run(keep="first")
