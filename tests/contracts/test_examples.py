"""The environments on tensors in experiments/: the bits of their Gymnasium forms, and something to learn."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def found(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A script of that folder, which finds its neighbours."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    yield importlib.import_module(request.param)
    sys.modules.pop(request.param)


@pytest.mark.parametrize(
    ("found", "names"), [("cue", ("Cue", "GymCue")), ("catch", ("Catch", "GymCatch"))], indirect=["found"]
)
def test_both_forms_give_the_same_bits(found: Any, names: tuple[str, str]) -> None:
    outcomes = []
    for name in names:
        environment = make_environment(getattr(found, name))
        policy = tp.LinearPolicy(*environment.spaces)
        policy.normalize()
        candidates = torch.randn(30, tp.ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
        with make_rollout(environment, policy) as rollout:
            outcomes.append((rollout.play(candidates, range(5), observe=True), rollout.collect(range(9))[1]))
    (one, some), (other, others) = outcomes
    for key in ("returns", "lengths", "truncated", "moments"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    for key, value in some.as_dict().items():
        assert torch.equal(value, others.as_dict()[key]), key
    assert len(set(one.returns.ravel().tolist())) > 1


@pytest.mark.parametrize("found", ["catch"], indirect=True)
def test_pixels_are_learned(found: Any) -> None:
    assert found.train(generations=40, total_steps=None, target=None, eval_episodes=20).evaluation.mean > 0


@pytest.mark.parametrize("found", ["cue"], indirect=True)
def test_the_cue_is_remembered(found: Any) -> None:
    settings: dict[str, Any] = {"env_args": {"length": 2}, "total_steps": None, "eval_episodes": 50}
    assert found.train(generations=100, **settings).evaluation.mean > 0.9
