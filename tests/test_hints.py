"""What a run says to type next can be typed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.cli.base import print_result
from torchpolicy.runs.hints import to_evaluate, to_resume

NET = "from torch import nn\ndef make(observations, actions): return nn.Linear(3, 3)\n"
QUICK = ["--generations", "1", "--eval-episodes", "2"]


def make(observation_space: Any, action_space: Any) -> nn.Module:
    return nn.Linear(3, 3)


def following(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next ")]
    return line.split(maxsplit=1)[1]


@pytest.mark.parametrize("handed_on", [False, True])
def test_the_next_line_of_a_run_with_code_of_ones_own_is_typable(
    handed_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    Path("a_net.py").write_text(NET)
    words = ["train", "cem", "--env", "worlds:Guess", "--policy", "a_net:make", *QUICK]
    assert main([*words, "--run-dir", "a run"]) == 0
    if handed_on:
        capsys.readouterr()
        assert main([*words, "--from", "a run", "--run-dir", "b run"]) == 0
    line = following(capsys)
    run = "'b run'" if handed_on else "'a run'"
    assert line == f"torchpolicy eval {run} --env worlds:Guess --policy a_net:make --episodes 100 --seed 1"
    assert main(["resume", run.strip("'"), "--env", "worlds:Guess", "--policy", "a_net:make"]) == 0
    assert following(capsys) == line


def test_what_has_no_name_in_a_shell_is_a_call_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    common: dict[str, Any] = {"generations": 1, "eval_episodes": 2}
    result = tp.train(lambda: Guess(), "cem", policy=nn.Linear(3, 3), run_dir="run", **common)
    print_result(result)
    line = following(capsys)
    assert line == "tp.evaluate(tp.load('run', policy=YourModule()), YourEnv, episodes=100, seed=1)"
    evaluation = eval(line, {"tp": tp, "YourModule": lambda: nn.Linear(3, 3), "YourEnv": Guess})
    assert len(evaluation.returns) == 100
    named = tp.train(Guess, "cem", policy=make, run_dir="named", **common)
    print_result(named)
    assert following(capsys) == (
        "torchpolicy eval named --env worlds:Guess --policy test_hints:make --episodes 100 --seed 1"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ({"env": "CartPole-v1", "policy": None}, "torchpolicy resume run"),
        ({"env": "pkg:Env-v0", "policy": None}, "torchpolicy resume run --env pkg:Env-v0"),
        ({"env": Guess, "policy": "net:make"}, "torchpolicy resume run --env worlds:Guess --policy net:make"),
        ({"env": Guess(), "policy": None}, "tp.resume('run', env=YourEnv)"),
        ({"env": "CartPole-v1", "policy": nn.Linear(4, 2)}, "tp.resume('run', policy=YourModule())"),
        ({"env": Guess, "policy": lambda *_: nn.Linear(3, 3)}, "tp.resume('run', env=Guess, policy=YourModule())"),
    ],
)
def test_how_to_go_on_is_typable(code: dict[str, object], words: str) -> None:
    assert to_resume(Path("run"), code) == words


def test_a_gymnasium_id_needs_nothing_beside_it() -> None:
    code = {"env": "CartPole-v1", "policy": None}
    assert to_evaluate(Path("run"), code) == "torchpolicy eval run --episodes 100 --seed 1"


def test_a_stopped_run_says_how_to_go_on_with_its_own_environment() -> None:
    own = ["--env", "worlds:Guess", "--target", "none", "--seconds", "60", "--run-dir", "run"]
    process = subprocess.Popen(
        [sys.executable, "-m", "torchpolicy", "train", "cem", *own],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert process.stderr is not None
    while "generation 1 " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "to go on: torchpolicy resume run --env worlds:Guess\n" in err


@pytest.mark.parametrize("what", ["module", "policy", "factory", "name", "alias"])
def test_a_policy_of_ones_own_is_given_in_one_way_everywhere(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a_net.py").write_text(NET)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    result = tp.train(Guess, "cem", policy=nn.Linear(3, 3), run_dir="run", generations=1, eval_episodes=5)
    given: Any = {
        "module": nn.Linear(3, 3),
        "policy": tp.Policy(nn.Linear(3, 3), Guess.observation_space, Guess.action_space),
        "factory": make,
        "name": "a_net:make",
        "alias": nn.Linear(3, 3),
    }[what]
    loaded = tp.load("run", module=given) if what == "alias" else tp.load("run", policy=given)
    again = tp.evaluate(loaded, Guess, 5, seed=0).returns.tolist()
    assert again == tp.evaluate(result.policy, Guess, 5, seed=0).returns.tolist()
    tp.resume("run", env=Guess, policy=given)
    for call in (lambda: tp.load("run"), lambda: tp.resume("run", env=Guess)):
        with pytest.raises(ValueError, match=r"name it again, --policy pkg.mod:factory \(in Python: policy=YourModule"):
            call()
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert main(["eval", "run", "--env", "worlds:Guess"]) == 2
    assert "name it again, --policy pkg.mod:factory (in Python: policy=YourModule())" in capsys.readouterr().err


def test_arguments_of_ones_own_function_are_named_and_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sized.py").write_text(
        "from torch import nn\n\n\ndef make(o, a, width=3, kind='x'):\n    return nn.Linear(4, 2, bias=width == 9)\n"
    )
    own = ["--policy", "sized:make", "--policy-args", "width=9", "kind=a b"]
    quick = ["--generations", "1", "--eval-episodes", "2", "--target", "none", "--population", "4"]
    assert main(["train", "snes", "--env", "CartPole-v1", "--run-dir", "run", *quick, *own]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next")]
    assert line.endswith(
        "torchpolicy eval run --policy sized:make --policy-args width=9 'kind=a b' --episodes 100 --seed 1"
    )
    assert main(["eval", "run", "--episodes", "2", *own]) == 0
    assert main(["export", "run", *own]) == 0
    assert main(["resume", "run", "--generations", "2", *own]) == 0
    assert line in capsys.readouterr().out
    assert main(["eval", "run", "--policy", "sized:make"]) == 2
    assert "bias is unknown" in capsys.readouterr().err
    assert main(["eval", "run", "--policy-args", "width=9"]) == 2
    assert "--policy-args go with --policy pkg.mod:factory" in capsys.readouterr().err


def test_a_function_makes_the_same_weights_with_the_same_seed(tmp_path: Path) -> None:
    def make(observations: Any, actions: Any) -> nn.Module:
        return nn.Linear(4, 2)

    def seeded(observations: Any, actions: Any, seed: int = -1) -> nn.Module:
        seeds.append(seed)
        return nn.Linear(4, 2)

    seeds: list[int] = []
    settings: dict[str, Any] = {"generations": 1, "population": 4, "eval_episodes": 2, "target": None}
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = [
        tp.train("CartPole-v1", "snes", policy=each, seed=seed, run_dir=tmp_path / str(place), **settings)
        for place, (each, seed) in enumerate([(make, 0), (make, 0), (make, 1), (seeded, 4)])
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    first, again, other, _ = (tp.ParamVector(result.policy.net).read() for result in found)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert seeds[0] == 4


@pytest.mark.parametrize(("name", "message"), [("x", "got 3 under the name things:x"), ("inst", None)])
def test_a_name_may_stand_for_a_module_and_for_nothing_else(
    name: str, message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("things.py").write_text("from torch import nn\n\nx = 3\ninst = nn.Linear(4, 2)\n")
    settings: dict[str, Any] = {"generations": 1, "population": 4, "eval_episodes": 2, "target": None}
    if message is None:
        assert isinstance(tp.train("CartPole-v1", "snes", policy=f"things:{name}", **settings).policy.net, nn.Linear)
    else:
        with pytest.raises(ValueError, match=message):
            tp.train("CartPole-v1", "snes", policy=f"things:{name}", **settings)


def test_a_folder_of_runs_says_to_name_one_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    tp.train(Guess, "cem", generations=1, population=4, eval_episodes=2, run_dir="all/env/run")
    for command in (["resume", "all"], ["eval", "all/env"]):
        assert main([*command, "--env", "worlds:Guess"]) == 2
        assert "holds 1 run, and is none itself: name one, such as all/env/run" in capsys.readouterr().err


def test_an_environment_of_a_script_is_not_to_be_named_again(capsys: pytest.CaptureFixture[str]) -> None:
    tp.train(Guess, "cem", generations=1, population=4, eval_episodes=2, run_dir="run")
    text = Path("run/config.json").read_text()
    Path("run/config.json").write_text(text.replace("worlds:Guess", "__main__:Guess"))
    assert main(["resume", "run"]) == 2
    assert "run its script again, with the same run_dir, or define it in a module" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("snes --elite-fraction 0.2", "unknown option --elite-fraction: it belongs to cem\n"),
        ("reinforce --population 4", "unknown option --population: it belongs to ars, cem, cmaes and others\n"),
        ("snes --lr 0.1", "unknown option --lr: that is learning_rate\n"),
        ("snes --popsize 4", "unknown option --popsize: the number of candidates is population\n"),
        ("snes --epiosdes 4", "unknown option --epiosdes; did you mean '--episodes'?\n"),
    ],
)
def test_an_unknown_option_says_what_may_have_been_meant(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *words.split(), "--env", "CartPole-v1"]) == 2
    assert message in capsys.readouterr().err


def test_the_script_for_completion_is_no_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "--tyro-print-completion", "bash"])
    assert max(map(len, capsys.readouterr().out.splitlines())) > 90  # its lines are left as they are
