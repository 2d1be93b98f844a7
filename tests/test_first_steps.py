"""What a new user meets."""

from pathlib import Path
from typing import Any

import gymnasium
import pytest
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.catalog import names
from torchpolicy.cli import main


def test_a_result_and_its_evaluation_are_shown_in_a_few_lines() -> None:
    result = tp.train("CartPole-v1", "cem", generations=40, target=None, population=4, max_episode_steps=9)
    shown = repr(result)
    assert str(result) == shown
    assert len(shown) < 500
    steps = f"{result.metrics[-1]['rollout/env_steps']:,.0f}"
    assert shown.splitlines() == [
        "Result of cem in CartPole-v1",
        f"  test     {result.evaluation}",
        f"  trained  40 generations, {steps} environment steps",
        f"  run_dir  {result.run_dir}",
    ]
    assert repr(result.evaluation) == f"Evaluation: {result.evaluation}"
    assert "95 % interval" in repr(result.evaluation)
    assert len(repr(result.evaluation)) < 200


def test_a_result_in_an_environment_of_ones_own_is_shown_too() -> None:
    result = tp.train(Guess, tp.CEM(nn.Linear(3, 3).weight.detach().new_zeros(12)), generations=1, eval_episodes=2)
    assert repr(result).startswith("Result of cem in worlds:Guess\n")


class Model:
    """As a model of stable-baselines3."""

    policy = nn.Linear(4, 2)

    def predict(self, observation: object) -> object:
        return observation


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": (64, 64)}, r"unknown argument 'hidden' .*policy_args=\{\"hidden\": \(64, 64\)\}"),
        ({"activation": "relu"}, r"policy_args, such as \{\"activation\": \"relu\"\}"),
        ({"total_timesteps": 9}, "unknown argument 'total_timesteps' .*the budget of environment steps is total_steps"),
        ({"n_envs": 9}, "unknown argument 'n_envs' .*stepped side by side as they are needed, so leave it out"),
        ({"num_workers": 9}, "unknown argument 'num_workers' .*the number of processes is workers"),
        ({"env_id": "CartPole-v1"}, "unknown argument 'env_id' .*the environment is the first argument, env"),
        ({"env_kwargs": {}}, "keywords for the environment are env_args"),
        ({"verbose": 1}, "unknown argument 'verbose' .*progress goes to standard error by itself, so leave it out"),
        ({"learning_rate": 0.1}, "unknown argument 'learning_rate' for CEM: CEM has none; its hyperparameters are pop"),
        ({"algorithm": "nes", "lr": 0.1}, "unknown argument 'lr' for NES: that is learning_rate"),
        ({"popsize": 9}, "the number of candidates is population"),
        ({"sigma": 9}, "the first standard deviation is std"),
        ({"env": gymnasium.make("CartPole-v1")}, r"give 'CartPole-v1', or a callable, lambda: gymnasium.make\('CartP"),
        ({"env": Guess()}, "env is an environment itself, .*: give its id, or a callable, such as Guess"),
        ({"policy": Model()}, "policy is a model of another library, Model: give its network alone, a module from"),
    ],
)
def test_a_habit_from_elsewhere_gets_the_sentence_that_helps(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        tp.train(**{"env": "CartPole-v1", "algorithm": "cem", "generations": 1, **arguments})
    assert "\n" not in str(error.value)
    assert not Path("runs").exists()


def test_help_names_every_policy_and_what_makes_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "cem", "--help"])
    page = " ".join(word for word in capsys.readouterr().out.split() if word != "│")
    about = page[page.index("--policy STR") : page.index("--policy-args")]
    assert all(f"{name}," in about for name in names("policies"))
    assert "factory(observation_space, action_space)" in about


@pytest.mark.parametrize(
    "words", [["--hidden", "6,4"], ["--hidden", "6", "4"], ["--hidden=6,4"], ["--hidden", "6,", "4"]]
)
def test_hidden_layers_are_said_with_commas_or_without(words: list[str]) -> None:
    quick = ["--generations", "1", "--population", "4", "--eval-episodes", "2", "--seed", "3"]
    assert main(["train", "cem", "--env", "CartPole-v1", *words.split(), *quick, "--run-dir", "run"]) == 0
    assert tp.load("run").settings["policy_args"]["hidden"] == [6, 4]
