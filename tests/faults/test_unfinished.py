"""A run that has not finished, or is being trained, can be used: its newest checkpoint stands for its policy."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main


class Halt(tp.callbacks.Callback):
    """Interrupts a run after a generation, and keeps what the policy was."""

    def __init__(self, generation: int = 2) -> None:
        self.generation = generation
        self.kept: torch.Tensor | None = None

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        if run.generation == self.generation:
            self.kept = tp.ParamVector(run.policy.net).read()
            raise InterruptedError("enough")


def interrupt(env: Any = "CartPole-v1", algorithm: str = "cem", **arguments: Any) -> torch.Tensor:
    halt = Halt()
    settings: dict[str, Any] = {"generations": 4, "eval_episodes": 2, "run_dir": "run", "target": None, **arguments}
    with pytest.raises(tp.RunError, match="InterruptedError"):
        tp.train(env, algorithm, callbacks=[halt], **settings)
    assert not Path("run/policy").exists()
    assert halt.kept is not None
    return halt.kept


@pytest.mark.parametrize(
    ("algorithm", "arguments"),
    [
        ("cem", {"policy_args": {"hidden": (4,)}, "normalize_observations": True}),
        ("deepcem", {"episodes": 4}),
        ("nes", {"policy": "residual", "policy_args": {"width": 4, "blocks": 1}}),
    ],
)
def test_the_policy_of_the_newest_checkpoint_is_loaded_and_said(
    algorithm: str, arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = interrupt(algorithm=algorithm, **arguments)
    capsys.readouterr()
    policy = tp.load("run")
    assert torch.equal(tp.ParamVector(policy.net).read(), weights)
    assert (policy.normalizer is not None) == ("normalize_observations" in arguments)
    assert capsys.readouterr().err == "run has not finished: using its checkpoint of generation 2\n"
    tp.resume("run")
    capsys.readouterr()
    tp.load("run")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("command", ["eval run --episodes 2", "record run", "play run", "export run", "train --from"])
def test_every_command_takes_it(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchpolicy.output.film.show", lambda *_: None)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # stands for a display
    interrupt()
    capsys.readouterr()
    if command == "train --from":
        command = "train nes --env CartPole-v1 --from run --generations 1 --eval-episodes 2 --run-dir next"
    assert main(command.split()) == 0
    assert "run has not finished: using its checkpoint of generation 2" in capsys.readouterr().err


def test_a_policy_of_ones_own_is_given_again() -> None:
    interrupt(env=Guess, policy=nn.Linear(3, 3))
    assert tp.load("run", policy=nn.Linear(3, 3)).act([0.0, 0.0, 1.0]) in (0, 1, 2)
    with pytest.raises(ValueError, match="name it again, --policy"):
        tp.load("run")
    with pytest.raises(tp.CheckpointError, match=r"does not fit the policy: net\.0\.bias is missing"):
        tp.load("run", policy=nn.Sequential(nn.Linear(3, 3)))


def test_a_damaged_newest_checkpoint_is_said_and_the_one_before_taken(capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(checkpoint_seconds=0)
    newest = max(Path("run/checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    tp.load("run")
    said = capsys.readouterr().err
    assert f"checkpoint refused, taking the one before: {newest}: damaged" in said
    assert "using its checkpoint of generation 1" in said
    shutil.rmtree("run/checkpoints")
    with pytest.raises(tp.CheckpointError, match="run: has neither a policy nor a checkpoint yet"):
        tp.load("run")


def test_eval_while_training_works(capsys: pytest.CaptureFixture[str]) -> None:
    class Look(tp.callbacks.Callback):
        codes: list[int] = []  # noqa: RUF012

        def on_checkpoint(self, run: Any, generation: int) -> None:
            self.codes.append(main(["eval", "run", "--episodes", "2"]))

    tp.train("CartPole-v1", "cem", generations=3, run_dir="run", checkpoint_seconds=0, callbacks=[Look()], target=None)
    assert Look.codes == [0] * 4
    assert "using its checkpoint of generation 3" in capsys.readouterr().err
