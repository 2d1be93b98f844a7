import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import torchpolicy as tp
from torchpolicy.base.discovery import names
from torchpolicy.cli import main
from torchpolicy.runs.algorithms import algorithm_class, algorithm_names, hyperparameters_of

WORLDS = str(Path(__file__).parent)


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torchpolicy", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
    )


def test_train_then_eval_from_a_shell() -> None:
    done = shell("train", "cem", "--env", "CartPole-v1", "--seed", "1")
    assert done.returncode == 0, done.stderr
    run, test, following = (line.split(maxsplit=1)[1] for line in done.stdout.splitlines()[:3])
    assert Path(run).is_dir()
    assert following == f"torchpolicy eval {run} --episodes 100 --seed 1"
    assert float(test.split(",")[0]) >= 475
    checked = shell("eval", run, "--episodes", "100", "--seed", "12345", "--json")
    assert checked.returncode == 0, checked.stderr
    score = json.loads(checked.stdout)
    assert list(score) == ["mean", "std", "ci", "episodes", "returns"]
    assert score["mean"] >= 475
    assert len(score["returns"]) == score["episodes"] == 100
    assert score["ci"][0] <= score["mean"] <= score["ci"][1]


@pytest.mark.timeout(300)
def test_every_command_works_from_a_shell() -> None:
    words = {
        "train": "snes --env CartPole-v1 --generations 2 --eval-episodes 5 --run-dir run",
        "resume": "run --generations 3",
        "eval": "run --episodes 5",
        "plot": "run -o curve.png",
        "landscape": "run --points 3 --episodes 1 -o landscape.png",
        "compare": "run",
        "sweep": "cem --env CartPole-v1 --generations 1 --eval-episodes 2 --param population=4,8 --trials 1 --seeds 9",
        "record": "run -o episode.gif",
        "play": "run --seed 3",
        "export": "run -o policy.pt2",
        "envs": "",
        "doctor": "",
        "launch": "--first 127.0.0.1 --port 29417 train cem --env CartPole-v1 --generations 1 --run-dir hosts",
    }
    assert sorted(words) == names("cli")
    says = {
        "train": r"run +run\ntest +\d",
        "resume": r"run +run\ntest +\d",
        "eval": r"\d+\.\d, 95 % interval .* over 5 episodes",
        "compare": r"CartPole-v1\n +seeds +IQM .*\nsnes +1 +\d",
        "sweep": r"best +\d.*\nruns +runs/CartPole-v1/cem-sweep-\w+\nnext +torchpolicy train cem .*--population [48] ",
        "play": r"return \d+$",
        "envs": r"CartPole-v1 +475 +500  to the bit  .*cem",
        "launch": r"run +hosts\ntest +\d",
        "doctor": r"torch +\d.*\n(.*\n)*mujoco",
    }
    for command, arguments in words.items():
        done = shell(command, *arguments.split())
        assert done.returncode == 0, (command, done.stderr)
        last = arguments.split()[-1:]
        assert re.search(says.get(command, rf"^{last and last[0]}$"), done.stdout.strip()), (command, done.stdout)
    assert all(Path(name).stat().st_size > 1000 for name in ("curve.png", "landscape.png", "episode.gif", "policy.pt2"))


@pytest.mark.usefixtures("_own_test")
def test_the_test_score_is_what_eval_would_score_on_the_episodes_of_the_test(
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick = ["--generations", "2", "--population", "8", "--eval-episodes", "10"]
    assert main(["train", "cem", "--env", "CartPole-v1", "--seed", "7", "--run-dir", "run", *quick]) == 0
    said = capsys.readouterr().out.splitlines()[1].removeprefix("test   ")
    assert main(["eval", "run", "--episodes", "10", "--seed", "7"]) == 0
    assert capsys.readouterr().out.strip() == said


def test_every_option_reaches_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "train cem --env FrozenLake-v1 --env-args is_slippery=False map_name=8x8 --hidden 5 3 --seed 3 --target none"
    )
    words += " --generations 2 --episodes 2 --eval-episodes 4 --eval-every 1 --max-episode-steps 9 --run-dir run"
    words += " --population 6 --elite-fraction 0.5 --std 2 --std-smoothing 0.1"
    assert main(words.split()) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["env_args"] == {"is_slippery": False, "map_name": "8x8"}
    assert config["policy"]["policy_args"]["hidden"] == [5, 3]
    assert config["max_episode_steps"] == 9
    assert (config["generations"], config["episodes"], config["eval_every"]) == (2, 2, 1)
    assert config["hyperparameters"]["population"] == 6
    assert config["hyperparameters"]["elite_fraction"] == 0.5
    assert config["hyperparameters"]["std"] == 2
    assert main(["eval", "run", "--episodes", "3"]) == 0


def test_code_of_ones_own_comes_from_the_caller_and_never_from_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(WORLDS)
    Path("mine.py").write_text("from torch import nn\ndef net(observations, actions): return nn.Linear(3, 3)\n")
    own = ["--env", "worlds:Guess", "--policy", "mine:net"]
    assert main(["train", "cem", *own, "--generations", "2", "--run-dir", "run"]) == 0
    assert main(["eval", "run"]) == 2
    assert "name it again, --env worlds:Guess" in capsys.readouterr().err
    assert main(["eval", "run", "--env", "worlds:Guess"]) == 2
    assert "--policy pkg.mod:factory" in capsys.readouterr().err
    assert main(["eval", "run", *own, "--episodes", "5"]) == 0


def test_a_policy_is_handed_from_run_to_run_whatever_trained_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Also with a normaliser, which goes on, and over resume."""
    common = ["--env", "CartPole-v1", "--episodes", "4", "--eval-episodes", "5"]
    assert main(["train", "cem", *common, "--generations", "2", "--normalize-observations", "--run-dir", "0"]) == 0
    for number, algorithm in enumerate(["deepcem", "reinforce", "nes"]):
        words = ["train", algorithm, *common, "--from", str(number), "--generations", "2"]
        assert main([*words, "--run-dir", str(number + 1)]) == 0
    before, after = tp.load("2").normalizer, tp.load("3").normalizer
    assert before is not None
    assert after is not None
    assert after.count > before.count
    assert main(["resume", "3", "--generations", "3"]) == 0
    capsys.readouterr()
    assert main(["train", "nes", *common, "--from", "3", "--hidden", "3"]) == 2
    assert "--from 3 brings a policy" in capsys.readouterr().err


def test_a_policy_of_ones_own_is_handed_on_with_its_factory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(WORLDS)
    Path("other.py").write_text("from torch import nn\ndef net(observations, actions): return nn.Linear(3, 3)\n")
    own = ["--env", "worlds:Guess", "--policy", "other:net", "--eval-episodes", "3"]
    assert main(["train", "cem", *own, "--generations", "2", "--run-dir", "first"]) == 0
    assert main(["train", "reinforce", *own, "--generations", "1", "--run-dir", "second", "--from", "first"]) == 0
    assert main(["train", "reinforce", "--env", "worlds:Guess", "--generations", "1", "--from", "first"]) == 2
    assert "--policy pkg.mod:factory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "torchpolicy 0"),
        ("trian cem", "unknown command 'trian'; did you mean 'train'?"),
        ("train", "name an algorithm first"),
        ("train cemm --env CartPole-v1", "unknown algorithm 'cemm'; did you mean 'cem'?"),
        ("train cem --env CartPol-v1", "Did you mean: `CartPole`?"),
        ("train cem --env CartPole-v1 --popultion 5", "unknown option --popultion; did you mean '--population'?"),
        ("train cem --env CartPole-v1 --population many", "--population takes a whole number, got many"),
        ("train cem --env CartPole-v1 --hidden 6x4", "torchpolicy: --hidden takes a whole number, got 6x4"),
        ("train cem --env CartPole-v1 --elite-fraction 0", "elite_fraction must be a number in (0, 1], got 0.0"),
        ("train cem --env CartPole-v1 --population 1", "population must be an integer >= 2, got 1"),
        ("train cem --env CartPole-v1 --std 0", "std must be positive and finite, got 0.0"),
        ("train cem --env CartPole-v1 --seed -1", "seed must be an integer >= 0, got -1"),
        ("train cem --env CartPole-v1 --log-dir /dev/null/runs", "cannot make the run folder"),
        ("train cem --env CartPole-v1 --env-args sutton", "--env-args takes name=value, got 'sutton'"),
        ("train cem --env worlds:BrokenAtReset", "observation that is not finite"),
        ("train cem --env worlds:Broken --env-args how=reward", "candidates failed"),
        ("train cem --env worlds:Wordy", "observation space Text"),
        ("train cem --env CartPole-v1 --policy worlds:misfit", "output of shape (1, 2)"),
        ("train cem", "train where? name an environment with --env"),
        ("train cem --env", "torchpolicy: Missing value for argument '--env'"),
        ("train --env CartPole-v1", "name an algorithm first"),
        ("train cem --env CartPol-v1 --config nowhere.toml", "nowhere.toml: No such file"),
        ("export nowhere", "nowhere: no such run folder"),
        ("envs --all", "unknown option --all"),
        ("doctor now", "Unrecognized options: now"),
        ("eval nowhere", "nowhere: no such run folder"),
        ("eval nowhere --sed 3", "unknown option --sed; did you mean '--seed'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    words: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(WORLDS)
    try:
        code: object = main(words.split())
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    out, err = capsys.readouterr()
    assert message in out + err
    assert not err or err.startswith("torchpolicy: ") or "candidates failed" in err  # which tells of the first at once
    assert "Traceback (most recent call last)" not in err
    assert not words or not out


def test_help_teaches_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    for name in algorithm_names():
        with pytest.raises(SystemExit) as stop:
            main(["train", name, "--help"])
        assert stop.value.code == 0
        page = capsys.readouterr().out
        for hyperparameter in hyperparameters_of(algorithm_class(name)):
            assert f"--{hyperparameter.replace('_', '-')}" in page
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(f"  {command} " in page for command in names("cli"))
    assert main(["train", "--help"]) == 0
    assert "cem" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m torchpolicy train nes --help | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: ")
    assert not done.stderr


def test_ctrl_c_exits_130() -> None:
    words = ["train", "cem", "--env", "CartPole-v1", "--target", "none", "--seconds", "60"]
    process = subprocess.Popen(
        [sys.executable, "-m", "torchpolicy", *words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    assert "a generation takes about" in process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.parametrize("name", algorithm_names())
def test_the_example_in_the_help_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("Box2D")
    with pytest.raises(SystemExit):
        main(["train", name, "--help"])
    help_page = " ".join(capsys.readouterr().out.split())
    found = re.search(r"For example: torchpolicy (train .+?) --total-steps 2000000 --workers 2 ", help_page)
    assert found
    quick = ["--generations", "1", "--eval-episodes", "2", "--max-episode-steps", "5", "--no-preset"]
    assert main([*found[1].split(), *quick]) == 0


def test_prose_in_a_page_of_help_is_as_wide_as_the_terminal_and_commands_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    for command in (["compare"], ["sweep"], ["train", "snes"], ["launch"]):
        with pytest.raises(SystemExit) as end:
            main([*command, "--help"])
        assert end.value.code in (0, None)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("usage: torchpolicy ")
        assert sum(line.startswith("For example") for line in lines) == 1
        assert max(len(line) for line in lines if not line.startswith("For example")) <= 70
