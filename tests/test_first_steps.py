"""What a new user meets."""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import tqdm
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.discovery import names
from torchpolicy.cli import main
from torchpolicy.output.writers import console


def test_a_result_and_its_evaluation_are_shown_in_a_few_lines() -> None:
    result = tp.train("CartPole-v1", "cem", generations=40, target=None, population=4, max_episode_steps=9)
    shown = repr(result)
    assert str(result) == shown
    assert len(shown) < 500
    steps, seconds = (result.metrics[-1][key] for key in ("rollout/env_steps", "time/elapsed"))
    assert shown.splitlines() == [
        "Result of cem in CartPole-v1",
        f"  test     {result.evaluation}",
        f"  trained  40 generations, {steps:,.0f} env steps, {seconds:,.1f} s",
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
        ({"policy": Model()}, "policy is a model of another library, Model: give its network alone, a module that"),
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


@pytest.mark.parametrize("words", ["--hidden 6,4", "--hidden 6 4", "--hidden=6,4", "--hidden 6, 4"])
def test_hidden_layers_are_said_with_commas_or_without(words: str) -> None:
    quick = ["--generations", "1", "--population", "4", "--eval-episodes", "2", "--seed", "3"]
    assert main(["train", "cem", "--env", "CartPole-v1", *words.split(), *quick, "--run-dir", "run"]) == 0
    assert tp.load("run").settings["policy_args"]["hidden"] == [6, 4]


class CtrlC(tp.callbacks.Callback):
    """Somebody loses patience after the second generation."""

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        if run.generation == 2:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_at_a_prompt_of_pythons_says_what_to_call_and_shows_no_frames(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)  # as IPython, ipykernel and python itself do
    with pytest.raises(KeyboardInterrupt) as stop:
        tp.train("CartPole-v1", "cem", callbacks=[CtrlC()], run_dir="run", target=None, generations=10**6)
    assert str(stop.value) == "stopped; to go on: tp.resume('run')"
    assert stop.value._render_traceback_() == [f"KeyboardInterrupt: {stop.value}"]  # type: ignore[attr-defined]
    assert stop.value.__cause__ is None
    assert stop.value.__suppress_context__
    assert "to go on" not in capsys.readouterr().err  # it is told once


def test_ctrl_c_in_a_script_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        tp.train("CartPole-v1", "cem", callbacks=[CtrlC()], run_dir="run", target=None, generations=10**6)
    assert "stopped; to go on: torchpolicy resume run\n" in capsys.readouterr().err


def terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a run of two generations writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        tp.train("CartPole-v1", "cem", generations=2, population=4, eval_episodes=2, max_episode_steps=9, preset=False)
        stream.flush()
        os.set_blocking(ours, False)
        said = os.read(ours, 2**16).decode()
    os.close(ours)
    return said


def test_progress_is_a_bar_where_there_is_a_width_and_lines_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert "\r" in terminal(80, monkeypatch).replace("\r\n", "")
    for columns, kind in ((0, "xterm"), (80, "dumb")):
        monkeypatch.setenv("TERM", kind)
        lines = terminal(columns, monkeypatch)
        assert "\r" not in lines.replace("\r\n", "")
        assert [line.partition(" | ")[0] for line in lines.splitlines()] == ["generation 1", "generation 2"]


def test_no_bar_is_asked_of_a_notebook() -> None:
    """As tqdm.auto does, with a warning where ipywidgets is missing."""
    assert console.tqdm is tqdm.std.tqdm
