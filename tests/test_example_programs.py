"""Every example runs, in a short form, and prints what its README says in kind."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import torchpolicy as tp

FOLDER = Path(__file__).parent.parent / "experiments" / "examples"

SHORT = {
    "black_box": (["--generations", "40"], "length 0.80 m (true 0.80), friction 0.30 (true 0.30)"),
    "fine_tune": (["--generations", "2"], "the actor scores "),
    "larger_networks": (["--generations", "1", "--width", "16"], " weights: "),
    "many_seeds": (["--generations", "1", "--seeds", "2"], "snes"),
    "own_environment": (["--generations", "2"], "return of the population: "),
    "own_module": (["--generations", "2"], "loaded again: "),
    "several_hosts": (["--generations", "1"], "sum of weights "),
}
"""The arguments of each example's short form, and a part of what it prints."""

SERVERS = ("weights_and_biases", "mlflow_writer")


def run(name: str, *arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(FOLDER / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(300)  # processes that start others, each of which imports torch
@pytest.mark.parametrize("name", SHORT)
def test_an_example_runs_and_prints_what_it_should(name: str) -> None:
    arguments, expected = SHORT[name]
    assert expected in run(name, *arguments)


def test_every_example_is_tested_and_in_the_table() -> None:
    names = {path.stem for path in FOLDER.glob("*.py")}
    assert names == {*SHORT, *SERVERS}
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in readme for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb"))


class Stub(types.ModuleType):
    """A module in place of a service's: it takes any call, and writes down its name and arguments."""

    def __init__(self, name: str, said: list[tuple[Any, ...]]) -> None:
        super().__init__(name)
        self.said = said

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **keywords: Any) -> Any:
            self.said.append((name, arguments, keywords))
            return Answer(self.said)

        return call


class Answer(Stub):
    """What a stub's functions return: an object that is called like the module."""

    def __init__(self, said: list[tuple[Any, ...]]) -> None:
        super().__init__("answer", said)
        self.info = types.SimpleNamespace(run_id="a1b2")
        self.summary = types.SimpleNamespace(update=lambda values: said.append(("summary", (values,), {})))


def train_with(module: str, package: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    said: list[tuple[Any, ...]] = []
    monkeypatch.setitem(sys.modules, package, Stub(package, said))
    names: dict[str, Any] = {"__name__": "example"}
    path = FOLDER / f"{module}.py"
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    settings: dict[str, Any] = {"generations": 3, "eval_episodes": 2, "target": None, "run_dir": "run"}
    tp.train("CartPole-v1", "cem", population=6, writers=[names[kind]], **settings)
    return said


def test_weights_and_biases_gets_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = train_with("weights_and_biases", "wandb", "WandbWriter", monkeypatch)
    assert "cannot" not in capsys.readouterr().err
    assert said[0][2]["config"]["algorithm"] == "cem"
    logged = [arguments[0] for name, arguments, _ in said if name == "log" and "generation" in arguments[0]]
    assert [row["generation"] for row in logged] == [1, 2, 3]
    (summary,) = (arguments[0] for name, arguments, _ in said if name == "summary")
    assert summary["ended because"] == "its budget of generations is used up"
    assert said[-1][0] == "finish"


def test_mlflow_gets_the_run_and_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = train_with("mlflow_writer", "mlflow", "MLflowWriter", monkeypatch)
    assert "cannot" not in capsys.readouterr().err
    steps = [keywords["step"] for name, _, keywords in said if name == "log_metrics"]
    assert len(steps) == 4  # three generations, and the final test
    assert steps == sorted(steps)
    assert ("set_tag", ("ended because", "its budget of generations is used up"), {}) in said
    assert Path("run/mlflow.txt").read_text() == "a1b2"
    assert said[-1][0] == "end_run"


def test_the_notebook_runs() -> None:
    cells = json.loads((FOLDER / "first_look.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    assert names["result"].evaluation.mean >= 475
    assert all(row["mine/spread"] > 0 for row in names["again"].metrics)
