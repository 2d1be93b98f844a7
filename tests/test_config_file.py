"""A run from a file is the run that the file is of."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.cli.sweep import write_preset

WORLDS = str(Path(__file__).parent)

QUICK = ["--generations", "2", "--eval-episodes", "4", "--eval-every", "1"]


def weights(run: str) -> bytes:
    return (Path(run) / "policy" / "weights.safetensors").read_bytes()


def rows(run: str) -> list[dict[str, float]]:
    lines = (Path(run) / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if not key.startswith("time/")} for line in lines]


@pytest.mark.parametrize(
    "words",
    [
        "snes --env CartPole-v1 --seed 3",
        "cem --env CartPole-v1 --no-preset --population 8 --std 2 --max-episode-steps 30 --target 900 --workers 2",
        "pgpe --env Pendulum-v1 --hidden 5 3 --normalize-observations --episodes 2 --backend native",
        "ars --env CartPole-v1 --policy linear --policy-args bias=False initial_scale=0 --population 8",
        "deepcem --env FrozenLake-v1 --env-args is_slippery=False --episodes 20 --percentile 50 --starts 4",
    ],
)
def test_the_config_of_a_run_makes_its_bits_again(words: str) -> None:
    assert main(["train", *words.split(), *QUICK, "--run-dir", "first"]) == 0
    assert main(["train", "--config", "first/config.json", "--run-dir", "again"]) == 0
    assert weights("first") == weights("again")
    assert rows("first") == rows("again")
    result = tp.train(**tp.read_settings("first/config.json", run_dir="python"))
    assert weights("first") == weights("python")
    other = tp.train(**tp.read_settings("first/config.json", run_dir="other", seed=9))
    assert (result.run_dir, other.run_dir) == (Path("python"), Path("other"))
    assert weights("first") != weights("other")


def test_a_toml_is_what_the_command_line_says() -> None:
    Path("run.toml").write_text(
        """
        env = "FrozenLake-v1"
        algorithm = "cem"
        seed = 4
        generations = 2
        eval_episodes = 4
        run_dir = "toml"

        [env_args]
        is_slippery = false

        [policy_args]
        hidden = [5, 3]

        [hyperparameters]
        population = 8
        std = 0.5
        """
    )
    assert main(["train", "--config", "run.toml"]) == 0
    words = "--env FrozenLake-v1 --env-args is_slippery=False --hidden 5 3 --seed 4 --generations 2 --eval-episodes 4"
    assert main(["train", "cem", *words.split(), "--population", "8", "--std", "0.5", "--run-dir", "words"]) == 0
    assert weights("toml") == weights("words")
    beside = ["--population", "6", "--policy", "linear", "--run-dir", "beside", "--no-preset"]
    assert main(["train", "cem", "--config=run.toml", *beside]) == 0
    config = json.loads(Path("beside/config.json").read_text())
    assert (config["hyperparameters"]["population"], config["hyperparameters"]["std"]) == (6, 0.5)
    assert config["policy"]["policy"] == "linear"


def test_names_of_code_come_from_the_caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(WORLDS)
    Path("nets.py").write_text("from torch import nn\ndef net(observations, actions): return nn.Linear(3, 3)\n")
    assert main(["train", "cem", "--env", "worlds:Guess", *QUICK, "--run-dir", "first"]) == 0
    assert main(["train", "--config", "first/config.json"]) == 2
    assert "name it again, --env worlds:Guess" in capsys.readouterr().err
    assert main(["train", "--config", "first/config.json", "--env", "worlds:Guess", "--run-dir", "again"]) == 0
    assert weights("first") == weights("again")
    assert main(["train", "cem", "--env", "worlds:Guess", "--policy", "nets:net", *QUICK, "--run-dir", "own"]) == 0
    capsys.readouterr()
    assert main(["train", "--config", "own/config.json", "--env", "worlds:Guess"]) == 2
    assert "around a module of your own: name it again, --policy pkg.mod:factory" in capsys.readouterr().err
    Path("run.toml").write_text('env = "worlds:Guess"\nalgorithm = "cem"\ngenerations = 1\npolicy = "nets:net"\n')
    assert main(["train", "--config", "run.toml", "--run-dir", "toml"]) == 2
    assert "env is code, 'worlds:Guess', and code is never taken from a file" in capsys.readouterr().err
    own = ["--env", "worlds:Guess", "--policy", "nets:net"]
    assert main(["train", "--config", "run.toml", *own, "--run-dir", "toml"]) == 0


def test_weights_that_were_given_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cem", "--env", "CartPole-v1", *QUICK, "--run-dir", "0"]) == 0
    assert main(["train", "nes", "--env", "CartPole-v1", "--from", "0", *QUICK, "--run-dir", "1"]) == 0
    assert main(["resume", "1", "--generations", "3"]) == 0
    capsys.readouterr()
    assert main(["train", "--config", "1/config.json", "--run-dir", "2"]) == 2
    assert "began with weights that it was given: name them with --from" in capsys.readouterr().err
    assert main(["train", "--config", "1/config.json", "--from", "0", "--run-dir", "2"]) == 0
    assert weights("1") == weights("2")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.toml", 'env = "CartPole-v1"\nalgorithm = "cem"\nsede = 3', "unknown key 'sede'; did you mean 'seed'?"),
        ("run.toml", 'env = "CartPole-v1"\nalgorithm = "cem"\npopulation = 3', "hyperparameters have a table"),
        ("run.toml", 'env = "CartPole-v1"', "train what?"),
        ("run.toml", 'algorithm = "cem"', "run.toml: lacks env"),
        ("run.toml", 'algorithm = "cemm"', "unknown algorithm 'cemm'; did you mean 'cem'?"),
        (
            "run.toml",
            'env = "CartPole-v1"\nalgorithm = "cem"\nhyperparameters = 3',
            "hyperparameters should be a table",
        ),
        ("run.toml", 'algorithm = "cem"\n[hyperparameters]\nseed = 3', "seed is no hyperparameter"),
        ("run.toml", 'env = "CartPole-v1"\nalgorithm = "cem"\ncompile = "no"', "compile must be True or False"),
        ("run.toml", 'env = "CartPole-v1"\nalgorithm = "cem"\nlog_dir = 5', "log_dir must be a path, got 5"),
        ("run.toml", "env = ", "run.toml: Invalid value"),
        ("config.json", "[]", "config.json: expected a JSON object, got list"),
        ("config.json", '{"algorithm": "cem", "env": "CartPole-v1"}', "config.json: lacks policy, initial_weights"),
        ("config.json", "{", "config.json: not JSON: Expecting"),
        ("nothing.toml", None, "nothing.toml: No such file or directory"),
    ],
)
def test_mistakes_in_a_file_are_named(
    name: str, text: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path(name).write_text(text)
    assert main(["train", "--config", name]) == 2
    assert message in capsys.readouterr().err


def test_a_preset_that_a_sweep_has_written_is_a_file_of_settings(capsys: pytest.CaptureFixture[str]) -> None:
    write_preset(Path("mine.toml"), "CartPole-v1", {"target": "none", "learning_rate": 0.5})
    write_preset(Path("mine.toml"), "Acrobot-v1", {"population": 6})
    write_preset(Path("mine.toml"), "CartPole-v1", {"target": "none", "learning_rate": 0.25, "episodes": 2})
    words = ["train", "snes", "--config", "mine.toml", "--run-dir", "run"]
    assert main([*words, "--env", "CartPole-v1", *QUICK, "--population", "8"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert (config["episodes"], config["target"]) == (2, None)
    assert config["hyperparameters"]["learning_rate"] == 0.25
    assert config["hyperparameters"]["population"] == 8
    for env in ([], ["--env", "Pendulum-v1"]):
        assert main([*words, *env]) == 2
        assert "mine.toml: has presets for CartPole-v1, Acrobot-v1: name one of them" in capsys.readouterr().err


def test_another_algorithm_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run.toml").write_text('env = "CartPole-v1"\nalgorithm = "cem"\n')
    assert main(["train", "snes", "--config", "run.toml"]) == 2
    assert "run.toml is of cem, and snes was asked for" in capsys.readouterr().err


def test_objects_are_not_in_a_file(tmp_path: Path) -> None:
    def optimizer(parameters: Any, lr: float) -> Any:
        raise AssertionError

    config: dict[str, Any] = {"hyperparameters": {"optimizer": {"is": repr(optimizer)}}}
    tp.train(Guess, "cem", policy=nn.Linear(3, 3), generations=1, eval_episodes=2, run_dir=tmp_path / "run")
    whole = json.loads((tmp_path / "run" / "config.json").read_text()) | config
    (tmp_path / "run" / "config.json").write_text(json.dumps(whole))
    with pytest.raises(ValueError, match="optimizer of the run was an object"):
        tp.read_settings(tmp_path / "run" / "config.json", env=Guess, policy=nn.Linear(3, 3))


def test_what_no_seed_makes_again_is_asked_for(tmp_path: Path) -> None:
    def factory(observations: Any, actions: Any) -> tp.Policy:
        return tp.LinearPolicy(observations, actions, seed=123)

    common = {"generations": 1, "eval_episodes": 2}
    tp.train(Guess, "cem", policy=factory, run_dir=tmp_path / "0", **common)
    tp.train(Guess, "cem", policy="linear", policy_args={"seed": 99}, run_dir=tmp_path / "1", **common)
    for name in ("0", "1"):
        with pytest.raises(ValueError, match="began with weights that it was given"):
            tp.read_settings(tmp_path / name / "config.json", env=Guess)
    again = tp.train(
        **tp.read_settings(tmp_path / "0" / "config.json", env=Guess, policy=factory, run_dir=tmp_path / "2")
    )
    assert weights(str(tmp_path / "0")) == weights(str(again.run_dir))


def test_tables_are_joined_where_they_are_of_one_thing() -> None:
    Path("run.toml").write_text(
        """
        env = "FrozenLake-v1"
        algorithm = "cem"
        policy = "mlp"
        [env_args]
        is_slippery = false
        [policy_args]
        hidden = [4]
        activation = "relu"
        """
    )
    joined = tp.read_settings("run.toml", policy_args={"hidden": (8,)}, env_args={"map_name": "8x8"})
    assert joined["policy_args"] == {"hidden": (8,), "activation": "relu"}
    assert joined["env_args"] == {"is_slippery": False, "map_name": "8x8"}
    other = tp.read_settings("run.toml", policy="linear", env="CartPole-v1")
    assert not {"policy_args", "env_args"} & other.keys()


def test_hidden_is_of_an_mlp_and_another_environment_has_its_own_backend() -> None:
    assert main(["train", "cem", "--env", "CartPole-v1", *QUICK, "--run-dir", "run"]) == 0
    words = ["--config", "run/config.json", "--hidden", "8", "--env", "FrozenLake-v1", "--run-dir", "other"]
    assert main(["train", *words]) == 0
    config = json.loads(Path("other/config.json").read_text())
    assert (config["policy"]["policy_args"]["hidden"], config["backend"]) == ([8], "gymnasium")


def test_a_packages_environment_is_named_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cem", "--env", "gymnasium:CartPole-v1", *QUICK, "--run-dir", "run"]) == 0
    assert "torchpolicy eval run --env gymnasium:CartPole-v1 --episodes" in capsys.readouterr().out
    for words in (["eval", "run"], ["train", "--config", "run/config.json"]):
        assert main(words) == 2
        assert "name it again, --env gymnasium:CartPole-v1" in capsys.readouterr().err
    assert main(["eval", "run", "--env", "gymnasium:CartPole-v1", "--episodes", "3"]) == 0
    assert main(["export", "run"]) == 0


def test_arrays_among_env_args_come_back() -> None:
    grid = np.array([list("SFF"), list("FFF"), list("FFG")])
    tp.train("FrozenLake-v1", "cem", env_args={"desc": grid}, generations=2, eval_episodes=3, run_dir="run")
    tp.train(**tp.read_settings("run/config.json", run_dir="again"))
    assert weights("run") == weights("again")
    assert len(tp.resume("run", generations=3).metrics) == 3
