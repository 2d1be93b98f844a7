"""Runs of earlier versions go on, and runs of objects say how they do."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from quick import quick, weights
from worlds import Guess

import torchpolicy as tp
from torchpolicy.output.config import GONE_HYPERPARAMETERS, SINCE, SINCE_HYPERPARAMETERS, sealed
from torchpolicy.runs.algorithms import algorithm_names


def made_older(run_dir: Path) -> None:
    """Take out of a run's configuration what earlier versions did not know."""
    path = run_dir / "config.json"
    config = json.loads(path.read_text())
    for name in SINCE:
        config.pop(name)
    kept = {"nes": ["weight_decay"], "deepcem": ["epochs"]}.get(config["algorithm"], [])
    for name in SINCE_HYPERPARAMETERS:
        if name not in kept:
            config["hyperparameters"].pop(name, None)
    if config["algorithm"] == "deepcem":
        config["hyperparameters"] |= GONE_HYPERPARAMETERS
    path.write_text(json.dumps(sealed(config)))


@pytest.mark.parametrize("name", algorithm_names())
def test_a_run_of_an_earlier_version_goes_on(name: str) -> None:
    arguments: dict[str, Any] = {"eval_episodes": 2, "target": None, "keep": "last"}
    arguments |= {"population": 6} if name not in ("deepcem", "reinforce") else {"episodes": 6}
    whole = tp.train(Guess, name, generations=4, **arguments)
    part = tp.train(Guess, name, generations=2, run_dir="part", **arguments)
    made_older(part.run_dir)
    again = tp.resume("part", env=Guess, generations=4)
    assert torch.equal(weights(again), weights(whole))


def test_a_search_that_was_an_object_says_how_it_goes_on() -> None:
    env = gymnasium.make("CartPole-v1")
    policy = tp.LinearPolicy(env.observation_space, env.action_space)
    center = tp.ParamVector(policy.net).read()
    arguments: dict[str, Any] = {"policy": policy, "generations": 1, "eval_episodes": 2, "target": None}

    def make(center: torch.Tensor, seed: int, population: int = 6) -> tp.Search:
        return tp.SNES(center, std=0.5, seed=seed, population=population)

    tp.train("CartPole-v1", tp.Restarts(make, center), run_dir="run", **arguments)
    with pytest.raises(ValueError, match=r"restarts, was an object of your own: make it again"):
        tp.resume("run", policy=policy)
    config = json.loads(Path("run/config.json").read_text())
    assert "make" in config["hyperparameters"]["make"]["is"]


def test_what_follows_the_signal_is_recorded_as_that() -> None:
    env = gymnasium.make("CartPole-v1")
    policy = tp.LinearPolicy(env.observation_space, env.action_space)
    search = tp.SNES(tp.ParamVector(policy.net).read(), std=0.5, population=6, learning_rate="auto")
    tp.train("CartPole-v1", search, policy=policy, generations=1, eval_episodes=2, target=None, run_dir="run")
    assert json.loads(Path("run/config.json").read_text())["hyperparameters"]["learning_rate"] == "auto"
    assert len(tp.resume("run", policy=policy, generations=2).metrics) == 2


def test_arguments_of_an_optimizer_go_with_it_when_a_configuration_is_used_again() -> None:
    tp.train(Guess, "nes", generations=1, eval_episodes=2, target=None, run_dir="run")
    settings = tp.read_settings("run/config.json", env=Guess, optimizer="sgd", optimizer_args={"momentum": 0.9})
    assert settings["optimizer_args"] == {"momentum": 0.9}
    Path("own.toml").write_text('env = "CartPole-v1"\nalgorithm = "nes"\n[hyperparameters]\noptimizer_args = 3\n')
    with pytest.raises(ValueError, match="optimizer_args should be a table, got 3"):
        tp.read_settings("own.toml", optimizer_args={"betas": (0.5, 0.9)})


def test_a_preset_leaves_auto_alone_that_the_user_said() -> None:
    arguments: dict[str, Any] = {"generations": 1, "eval_episodes": 2, "target": None}
    tp.train("Pendulum-v1", "snes", episodes="auto", learning_rate="auto", run_dir="run", **arguments)
    config = json.loads(Path("run/config.json").read_text())
    assert config["preset"] is not None
    assert config["episodes"] == config["hyperparameters"]["learning_rate"] == "auto"


def test_a_return_too_large_fails_its_candidate_alone_with_episodes_by_need() -> None:
    class Rich(Guess):
        """Pays far too much now and then, for a first right answer to one start in eight."""

        def step(self, action: int) -> Any:
            observation, reward, *rest = super().step(action)
            lucky = self._steps == 1 and reward and int(1e6 * abs(self._numbers[0])) % 8 == 0
            return observation, 1e30 if lucky else reward, *rest

    rows = quick(Rich, population=12, generations=4, episodes="auto", seed=1).metrics
    assert any(row["search/failed"] > 0 for row in rows)
    assert all(row["search/failed"] < 12 for row in rows)
