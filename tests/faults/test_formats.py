"""Files say in which format they are; those of a newer version are refused in one line, those of earlier ones read."""

import json
from pathlib import Path
from typing import Any

import pytest

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint, save_checkpoint
from torchpolicy.base.files import read_tensors
from torchpolicy.base.version import __version__
from torchpolicy.cli import main
from torchpolicy.output.config import sealed

NEWER = f"was written by torchpolicy 0.3.0, in format 2; this is {__version__}, which reads format 1"


@pytest.fixture
def run() -> Path:
    tp.train("CartPole-v1", "cem", generations=2, population=4, eval_episodes=2, target=None, run_dir="run")
    return Path("run")


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | fields)))


def save_as_newer(monkeypatch: pytest.MonkeyPatch, run: Path, generation: int) -> Path:
    state, _ = load_checkpoint(run / "checkpoints")
    assert state is not None
    with monkeypatch.context() as future:
        future.setattr("torchpolicy.base.version.FORMAT_VERSION", 2)
        future.setattr("torchpolicy.base.version.__version__", "0.3.0")
        return save_checkpoint(run / "checkpoints", generation, state | {"generation": generation})


def test_every_file_says_its_format_and_who_wrote_it(run: Path) -> None:
    for path in (run / "checkpoints").iterdir():
        tree = json.loads(read_tensors(path, path.stem[-16:])["$tree"].numpy().tobytes())
        assert (tree["format_version"], tree["torchpolicy"]) == (1, __version__)
    policy = json.loads((run / "policy" / "policy.json").read_text())
    assert (policy["format_version"], policy["torchpolicy"]) == (1, __version__)
    config = json.loads((run / "config.json").read_text())
    assert (config["format_version"], config["versions"]["torchpolicy"]) == (1, __version__)


def test_a_newer_configuration_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    versions = json.loads((run / "config.json").read_text())["versions"] | {"torchpolicy": "0.3.0"}
    edit(run / "config.json", format_version=2, versions=versions, novelty=1)
    for words in (["resume", "run"], ["train", "--config", "run/config.json"]):
        assert main(words) == 2
        assert capsys.readouterr().err.strip().endswith(f"run/config.json: {NEWER}")


def test_a_newer_policy_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(run / "policy" / "policy.json", format_version=2, torchpolicy="0.3.0")
    assert main(["eval", "run"]) == 2
    assert capsys.readouterr().err.strip().endswith(f"run/policy/policy.json: {NEWER}")


def test_a_newer_checkpoint_is_refused_and_the_one_before_taken(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = save_as_newer(monkeypatch, run, 3)
    assert len(tp.resume("run", generations=4).metrics) == 4
    assert f"checkpoint refused, going on from the one before: {newer}: {NEWER}" in capsys.readouterr().err
    for path in (run / "checkpoints").iterdir():
        if path != newer:
            path.unlink()
    with pytest.raises(tp.CheckpointError, match=f"no checkpoint can be read: {newer}: {NEWER}"):
        tp.resume("run", generations=5)


def test_a_checkpoint_from_before_there_was_a_format_is_read(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, _ = load_checkpoint(run / "checkpoints")
    assert state is not None
    with monkeypatch.context() as past:
        past.setattr("torchpolicy.base.checkpoints.stamp", dict)
        path = save_checkpoint(run / "checkpoints", 2, state)
    assert b"format_version" not in path.read_bytes()
    again, refused = load_checkpoint(run / "checkpoints")
    assert refused == []
    assert again is not None
    assert again.keys() == state.keys()
    assert len(tp.resume("run", generations=3).metrics) == 3
