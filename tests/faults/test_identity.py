"""What another run left in a folder is noticed: checkpoints, a policy, a configuration."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint, save_checkpoint
from torchpolicy.cli import main
from torchpolicy.output.config import FIELDS


def train(run_dir: str, seed: int = 0, **arguments: Any) -> tp.Result:
    settings = {"generations": 3, "population": 4, "eval_episodes": 2, "checkpoint_seconds": 0, **arguments}
    return tp.train("CartPole-v1", "cem", seed=seed, run_dir=run_dir, **settings)


def bits(run_dir: str) -> bytes:
    return (Path(run_dir) / "policy" / "weights.safetensors").read_bytes()


def identity(run_dir: str) -> str:
    return str(json.loads((Path(run_dir) / "config.json").read_text())["identity"])


def newest(run_dir: str) -> Path:
    return max((Path(run_dir) / "checkpoints").iterdir())


@pytest.fixture
def two_runs() -> tuple[str, str]:
    train("mine", seed=0)
    train("theirs", seed=1, generations=5)
    return identity("mine"), identity("theirs")


@pytest.mark.parametrize("workers", [1, 2])
def test_another_runs_checkpoint_is_refused_and_the_one_before_taken(
    two_runs: tuple[str, str], workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    train("whole", seed=0, generations=6)
    theirs = newest("theirs")
    shutil.copy(theirs, "mine/checkpoints")
    tp.resume("mine", generations=6, workers=workers)
    said = capfd.readouterr().err
    mine, foreign = two_runs
    assert (
        f"mine/checkpoints/{theirs.name}: belongs to another run: its identity is {foreign}, that of this run is {mine}"
        in said
    )
    assert bits("mine") == bits("whole")


def test_where_all_are_another_runs_the_run_does_not_go_on(two_runs: tuple[str, str]) -> None:
    shutil.rmtree("mine/checkpoints")
    shutil.copytree("theirs/checkpoints", "mine/checkpoints")
    with pytest.raises(tp.CheckpointError, match=f"belongs to another run: its identity is {two_runs[1]}"):
        tp.resume("mine", generations=6)
    shutil.rmtree("mine/checkpoints")
    with pytest.raises(tp.CheckpointError, match="mine/checkpoints: there is no checkpoint, though"):
        tp.resume("mine", generations=6)


def test_another_runs_configuration_or_policy_is_noticed(
    two_runs: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("mine", "config")
    shutil.copy("theirs/config.json", "config/config.json")
    assert main(["resume", "config"]) == 2
    assert "belongs to another run" in capsys.readouterr().err
    shutil.copytree("mine", "policy")
    shutil.rmtree("policy/policy")
    shutil.copytree("theirs/policy", "policy/policy")
    for words in (["eval", "policy", "--episodes", "2"], ["export", "policy"]):
        assert main(words) == 2
        assert "policy/policy/policy.json: belongs to another run" in capsys.readouterr().err
    assert main(["resume", "policy"]) == 0  # which has its own checkpoint, and so can save its own policy again
    assert (
        "the policy is tested and saved again: policy/policy/policy.json: belongs to another run"
        in capsys.readouterr().err
    )
    assert bits("policy") == bits("mine")


def test_an_identity_is_of_what_is_run_and_what_it_begins_with() -> None:
    train("first")
    train("same", generations=2, target=400.0)
    train("population", population=6)
    assert identity("same") == identity("first") != identity("population")
    one, other = nn.Linear(4, 2), nn.Linear(4, 2)
    for name, module in {"one": one, "again": one, "other": other}.items():
        weights = [tensor.clone() for tensor in module.parameters()]
        train(name, policy=module)
        with torch.no_grad():
            for parameter, before in zip(module.parameters(), weights, strict=True):
                parameter.copy_(before)
    assert identity("one") == identity("again")
    assert identity("one") != identity("other")
    assert identity("one").partition("-")[0] == identity("other").partition("-")[0]  # its first half is of the settings
    before = identity("one")
    tp.resume("one", policy=nn.Linear(4, 2), generations=4)
    state, _ = load_checkpoint(Path("one/checkpoints"))
    assert state is not None
    assert identity("one") == before == state["identity"]


def test_a_changed_configuration_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    train("run")
    config = json.loads(Path("run/config.json").read_text())
    assert set(config) == set(FIELDS)
    Path("run/config.json").write_text(json.dumps(config | {"seed": 5}))
    for words in (["resume", "run", "--generations", "4"], ["eval", "run"]):
        assert main(words) == 2
        assert "run/config.json: was edited, or is damaged" in capsys.readouterr().err
    Path("run/config.json").write_text(json.dumps(config | {"generations": 4}))  # which may change, but not so
    assert main(["resume", "run"]) == 2
    assert "torchpolicy resume --generations" in capsys.readouterr().err
    assert main(["train", "--config", "run/config.json", "--run-dir", "again"]) == 0
    assert "run/config.json: was edited, or is damaged: this trains what it says now" in capsys.readouterr().err
    assert len(tp.resume("again").metrics) == 4
    Path("run/config.json").write_text(json.dumps(config))
    assert main(["resume", "run", "--generations", "5"]) == 0
    assert main(["eval", "run"]) == 0


def test_a_run_of_an_earlier_version_goes_on() -> None:
    """It has no identity, and its checkpoints neither that nor a description of the policy."""
    train("whole", generations=5)
    train("old")
    config = json.loads(Path("old/config.json").read_text())
    del config["identity"], config["checksum"]
    Path("old/config.json").write_text(json.dumps(config))
    description = json.loads(Path("old/policy/policy.json").read_text())
    del description["identity"], description["checksum"]
    Path("old/policy/policy.json").write_text(json.dumps(description))
    state, _ = load_checkpoint(Path("old/checkpoints"))
    assert state is not None
    shutil.rmtree("old/checkpoints")
    save_checkpoint(
        Path("old/checkpoints"), 3, {name: state[name] for name in state if name not in ("identity", "description")}
    )
    assert tp.load("old").act([0.0, 0.0, 0.1, 0.0]) in (0, 1)
    shutil.rmtree("old/policy")
    with pytest.raises(tp.CheckpointError, match="an earlier version wrote it"):
        tp.load("old")
    tp.resume("old", generations=5)
    assert bits("old") == bits("whole")


def test_policies_that_are_kept_need_no_run_around_them() -> None:
    tp.train(Guess, "cem", generations=2, eval_episodes=2, run_dir="run", callbacks=[tp.callbacks.KeepPolicies(1)])
    shutil.move("run/kept/generation-1", "elsewhere")
    assert tp.load("elsewhere").act([0.0, 0.0, 1.0]) in (0, 1, 2)
