"""A name of code in a file is never imported nor called, in whatever field, by whatever command or call."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint, save_checkpoint
from torchpolicy.cli import main

CANARY = """
from pathlib import Path

Path("{witness}").write_text("imported")

def bird(*arguments, **keywords):
    Path("{witness}").write_text("called")
    raise SystemExit("called")
"""

FIELDS = ("env", "algorithm", "policy", "env_args", "policy_args", "hyperparameters", "device", "backend")
"""Those that hold a name, or may hold one somewhere within."""

NAMES = ("canary:bird", "canary:Bird-v0", "os:system", "canary.deep:bird")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    settings: dict[str, Any] = {"generations": 1, "population": 4, "eval_episodes": 2, "target": None}
    tp.train("CartPole-v1", "cem", run_dir=folder, **settings)
    return folder


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the canary writes; its module can be imported, and so could one of the working folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    text = CANARY.format(witness=tmp_path / "witness")
    (elsewhere / "canary.py").write_text(text)
    Path("canary.py").write_text(text)
    monkeypatch.syspath_prepend(str(elsewhere))
    monkeypatch.setattr("os.system", lambda *_: (tmp_path / "witness").write_text("os.system"))
    return tmp_path / "witness"


def put(config: dict[str, Any], field: str, name: str) -> None:
    """A name in a field of a configuration, at the top or within."""
    if field == "policy":
        config["policy"] = {"policy": name, "policy_args": {}}
    elif field == "policy_args":
        config["policy"] = {"policy": "linear", "policy_args": {"features": name}}
    elif isinstance(config.get(field), dict):
        config[field] = config[field] | {"optimizer" if field == "hyperparameters" else "render_mode": [name]}
    else:
        config[field] = name


def commands(run: str) -> dict[str, Callable[[], object]]:
    """Every command and call that reads a run."""
    return {
        "resume": lambda: main(["resume", run, "--generations", "2"]),
        "train --config": lambda: main(["train", "--config", f"{run}/config.json", "--run-dir", "again"]),
        "train --run-dir": lambda: main(
            f"train cem --env CartPole-v1 --population 4 --generations 2 --eval-episodes 2 --run-dir {run}".split()
        ),
        "train --from": lambda: main(
            f"train cem --env CartPole-v1 --generations 1 --eval-episodes 2 --from {run} --run-dir next".split()
        ),
        "eval": lambda: main(["eval", run, "--episodes", "2"]),
        "record": lambda: main(["record", run, "-o", "episode.gif"]),
        "play": lambda: main(["play", run]),
        "export": lambda: main(["export", run]),
        "plot": lambda: main(["plot", run]),
        "tp.load": lambda: tp.load(run),
        "tp.resume": lambda: tp.resume(run, generations=2),
        "tp.read_settings": lambda: tp.train(**tp.read_settings(f"{run}/config.json", run_dir="python")),
        "tp.plot": lambda: tp.plot(run),
    }


INSTEAD = {
    "env": "name it again, --env {} (in Python: env=)",
    "algorithm": "name it again, torchpolicy train ALGO (in Python: algorithm=)",
    "policy": "name it again, --policy {} (in Python: policy=)",
    "env_args": "name it again, --env-args render_mode={} (in Python: env_args=)",
    "policy_args": "--policy-args features={} (in Python: policy_args=)",
    "hyperparameters": "a new run takes it in Python, tp.train(..., optimizer=...)",
}
"""What to type, by the field where a name of code stood."""

SLOW = ("export", "plot", "tp.plot", "train --from", "train --run-dir")
"""Commands that use no name of a configuration, and go their whole way: tried with one name."""


@pytest.mark.parametrize("field", FIELDS)
def test_a_name_in_a_config_is_not_taken(
    field: str,
    finished: Path,
    witness: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torchpolicy.output.film._start", lambda *_: None)
    monkeypatch.setattr("torchpolicy.output.film._finish", lambda *_: None)
    monkeypatch.setattr("torchpolicy.output.film.show", lambda *_: None)
    monkeypatch.setattr("torchpolicy.cli.export.export", lambda *_: None)  # its tracing takes a second
    path = list(sys.path)
    for name in NAMES:
        for command, call in commands("run").items():
            if command in SLOW and name != NAMES[0]:
                continue
            shutil.rmtree("run", ignore_errors=True)
            shutil.copytree(finished, "run")
            config = json.loads(Path("run/config.json").read_text())
            put(config, field, name)
            if command in SLOW or name != NAMES[0]:  # as an earlier version wrote it, or somebody who knows better
                config.pop("identity", None), config.pop("checksum", None)
            Path("run/config.json").write_text(json.dumps(config))
            try:
                code = call()
            except ValueError as error:
                said, code = str(error), 2
            else:
                said = capsys.readouterr().err
            assert not witness.exists(), (command, name, witness.read_text())
            assert sys.path == path, (command, name)
            assert "Traceback" not in said, (command, name, said)
            if code == 2:
                named = "run/config.json: " in said or "run is a run of another configuration: " in said
                assert named, (command, name, said)
            uses = command in ("resume", "tp.resume", "eval", "play", "record") or "settings" in command
            if uses and field not in ("device", "backend"):
                assert code == 2, (command, name)
                assert f"is code, {name!r}, and code is never taken from a file: " in said, said
                beside = "settings" in command and field == "hyperparameters"  # where each of them is a keyword
                assert (f"--optimizer {name} " if beside else INSTEAD[field].format(name)) in said, said


@pytest.mark.parametrize("field", ["env", "algorithm", "policy", "env_args", "policy_args", "hyperparameters"])
def test_a_name_in_a_toml_is_given_beside_it(field: str, witness: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list(sys.path)
    top = {"env": '"CartPole-v1"', "algorithm": '"cem"', "policy": '"linear"', "generations": "1", "eval_episodes": "2"}
    tables = {"env_args": "", "policy_args": "", "hyperparameters": ""}
    for name in NAMES:
        if field in top:
            lines = top | {field: f'"{name}"'}
        else:
            lines, tables = top, tables | {field: f'name = "{name}"'}
        text = "\n".join(f"{key} = {value}" for key, value in lines.items())
        Path("run.toml").write_text(text + "".join(f"\n[{table}]\n{line}" for table, line in tables.items()))
        assert main(["train", "--config", "run.toml"]) == 2, name
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert not witness.exists(), witness.read_text()
        assert sys.path == path
        if field != "algorithm":  # which is looked up first, and names nothing that could be imported
            assert f"run.toml: {field}" in said or f"run.toml: name is code, {name!r}" in said, said
            assert "and code is never taken from a file: name it again, --" in said
        with pytest.raises(ValueError, match=r"run\.toml: .* is code"):
            tp.train(**tp.read_settings("run.toml"))
    assert not witness.exists()


def test_a_name_in_a_saved_policy_is_not_taken(finished: Path, witness: Path) -> None:
    for name in NAMES:
        for settings in ({"policy": name, "policy_args": {}}, {"policy": "linear", "policy_args": {"features": name}}):
            shutil.rmtree("run", ignore_errors=True)
            shutil.copytree(finished, "run")
            description = json.loads(Path("run/policy/policy.json").read_text()) | {"settings": settings}
            description.pop("checksum", None)
            Path("run/policy/policy.json").write_text(json.dumps(description))
            with pytest.raises(ValueError, match=r"run/policy/policy\.json: settings\.policy.* is code"):
                tp.load("run")
            assert not witness.exists(), witness.read_text()


def test_a_name_anywhere_in_a_checkpoint_is_not_taken(
    finished: Path, witness: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint,) = finished.glob("checkpoints/ckpt-00000001-*")
    (tree, _), path = load_checkpoint(checkpoint.parent), list(sys.path)
    assert tree is not None
    for place in places(tree):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(finished, "run", ignore=shutil.ignore_patterns("policy", "checkpoints"))
        save_checkpoint(Path("run/checkpoints"), 1, replaced(tree, place, "canary:bird"))
        for words in ("eval run --episodes 2", "resume run --generations 1"):
            assert main(words.split()) in (0, 2)
            said = capsys.readouterr().err
            assert not witness.exists(), (place, words, witness.read_text())
            assert sys.path == path
            assert "Traceback" not in said, (place, words, said)
            if place == ("description", "settings", "policy") and "eval" in words:
                assert "settings.policy is code, 'canary:bird', and code is never taken from a file: name it" in said


def places(tree: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place in a tree of tables."""
    if place:
        yield place
    for name, value in tree.items() if isinstance(tree, dict) else ():
        yield from places(value, (*place, name))


def replaced(tree: Any, place: tuple[str, ...], value: object) -> Any:
    """The tree with something else in one place."""
    if not place:
        return value
    return tree | {place[0]: replaced(tree[place[0]], place[1:], value)}


def test_a_name_of_several_lines_is_told_in_one(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(finished, "run")
    config = json.loads(Path("run/config.json").read_text()) | {"env": "no:where\ntorchpolicy: all is well"}
    Path("run/config.json").write_text(json.dumps(config))
    assert main(["resume", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("name it again, --env NAME (in Python: env=)")


def test_what_the_caller_names_is_taken(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    Path("taken_net.py").write_text("from torch import nn\ndef make(observations, actions): return nn.Linear(3, 3)\n")
    own = ["--env", "worlds:Guess", "--policy", "taken_net:make"]
    assert main(["train", "cem", *own, "--generations", "1", "--eval-episodes", "2", "--run-dir", "own"]) == 0
    assert main(["eval", "own", *own, "--episodes", "2"]) == 0
    assert main(["resume", "own", *own, "--generations", "2"]) == 0
    assert main(["export", "own", "--policy", "taken_net:make"]) == 0
    Path("run.toml").write_text('algorithm = "cem"\ngenerations = 1\neval_episodes = 2\nenv = "no:where"\n')
    assert main(["train", "--config", "run.toml", *own, "--run-dir", "toml"]) == 0
