"""EnvPool's environments through the door for vector environments; skipped where the package is not installed."""

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from quick import quick

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

IDS = ["CartPole-v1", "LunarLander-v3", "HalfCheetah-v5", "Hopper-v5", "Ant-v5", "BipedalWalker-v3"]


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    monkeypatch.delitem(sys.modules, "torchpolicy.envs.envpool", raising=False)
    with pytest.raises(ValueError, match="needs the package envpool: pip install envpool"):
        make_environment("CartPole-v1", backend="envpool")


@pytest.mark.filterwarnings("ignore")  # EnvPool's own spaces make Gymnasium warn
@pytest.mark.parametrize("name", IDS)
def test_spaces_and_time_limits_are_gymnasiums(name: str) -> None:
    pytest.importorskip("envpool")
    environment = make_environment(name, {"num_envs": 2, "num_threads": 1}, backend="envpool")
    theirs = gymnasium.make(name)
    assert environment.spaces == (theirs.observation_space, theirs.action_space)
    assert (environment.time_limit, environment.width) == (theirs.spec.max_episode_steps, 2)  # type: ignore[union-attr]
    assert not environment.seeded
    if name == "Hopper-v5":
        assert "reward_threshold 6000.0 (Gymnasium: 3800.0)" in environment.note
    if name == "CartPole-v1":
        assert not environment.note


@pytest.mark.filterwarnings("ignore")
def test_every_candidate_gets_its_own_return() -> None:
    """In CartPole the return is the length, and a policy that always pushes left falls soon."""
    pytest.importorskip("envpool")
    environment = make_environment("CartPole-v1", {"num_envs": 5, "num_threads": 1}, 60, backend="envpool")
    policy = tp.LinearPolicy(*environment.spaces)
    vector = tp.ParamVector(policy.net)
    candidates = torch.zeros(40, vector.dim)
    candidates[::2, vector.slices["weight"]] = torch.tensor([[0, 0, -1, -1], [0, 0, 1, 1.0]]).ravel()  # it balances
    with make_rollout(environment, policy) as rollout:
        outcome = rollout.play(candidates, [0, 1])
    np.testing.assert_array_equal(outcome.returns, outcome.lengths)
    assert (outcome.lengths[::2] == 60).all()
    assert outcome.truncated[::2].all()
    assert outcome.lengths[1::2].max() < 12
    assert outcome.lengths[1::2].min() >= 8


@pytest.mark.filterwarnings("ignore")
def test_a_run_goes_on_and_its_policy_plays_in_gymnasium(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("envpool")
    settings: dict[str, Any] = {"backend": "envpool", "env_args": {"num_envs": 4, "num_threads": 1}}
    found = quick("HalfCheetah-v5", run_dir="part", max_episode_steps=30, preset=False, **settings)
    assert "differs from Gymnasium's in the bounds or the dtype of actions" in capsys.readouterr().err
    assert len(tp.resume("part", generations=4).metrics) == 4
    assert np.isfinite(tp.evaluate(found.policy, "HalfCheetah-v5", 4, max_episode_steps=30).mean)
