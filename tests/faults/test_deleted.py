"""A run whose folder is deleted under it, or that cannot open files, goes as far as it can and says what was lost."""

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main


class Vandal(tp.callbacks.Callback):
    """Does something to a file in the middle of a run."""

    def __init__(self, act: Callable[[Path], object], place: str = "run") -> None:
        self._act, self._place = act, Path(place)

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        if run.generation == 2:
            self._act(self._place)


def replace(folder: Path) -> None:
    """Another, empty folder of the same name; the old one is kept, so that the system does not use its number again."""
    folder.rename("away")
    folder.mkdir()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("act", [shutil.rmtree, replace])
def test_a_deleted_folder_is_told_at_the_end_and_nothing_is_made_again(
    act: Callable[[Path], object], workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments: dict[str, Any] = {"generations": 4, "population": 4, "eval_episodes": 2, "checkpoint_seconds": 0}
    with pytest.raises(tp.RunError, match=r"run was deleted .* policy of generation 4, which scored .* is not saved"):
        tp.train(Guess, "cem", run_dir="run", callbacks=[Vandal(act)], workers=workers, **arguments)
    assert not Path("run").exists() or not list(Path("run").rglob("config.json")) + list(Path("run").rglob("policy*"))
    said = capfd.readouterr().err
    assert "generation 4: the checkpoint could not be saved" in said or act is replace
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl"])
def test_a_deleted_file_is_told_at_the_end(name: str) -> None:
    arguments: dict[str, Any] = {"generations": 3, "population": 4, "eval_episodes": 2, "run_dir": "run"}
    with pytest.raises(tp.RunError, match=rf"run: {name} was deleted while the run went on; the policy is saved"):
        tp.train(Guess, "cem", callbacks=[Vandal(Path.unlink, f"run/{name}")], **arguments)
    assert tp.load("run").act([0.0, 0.0, 1.0]) in (0, 1, 2)


def test_from_a_shell_it_is_exit_code_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from torchpolicy.training.trainer import Trainer

    test = Trainer.test

    def vandal(trainer: Trainer) -> Any:
        shutil.rmtree("run")
        return test(trainer)

    monkeypatch.setattr(Trainer, "test", vandal)
    words = "train cem --env CartPole-v1 --generations 1 --population 4 --eval-episodes 2 --run-dir run"
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert "torchpolicy: run was deleted while the run went on" in err
    assert "Traceback" not in err
    assert not out
    assert not Path("run").exists()


COMMANDS = {
    "train": "train cem --env CartPole-v1 --generations 1 --population 4 --eval-episodes 2 --run-dir new",
    "workers": "train cem --env CartPole-v1 --generations 1 --population 4 --eval-episodes 2 --run-dir new --workers 2",
    "resume": "resume run --generations 3",
    "eval": "eval run --episodes 2",
}


@contextmanager
def only(more: int) -> Iterator[None]:
    """So many more files can be opened."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, before[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(more):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for number in taken:
            os.close(number)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_more_files_can_be_opened(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = COMMANDS[command].split()
    common: dict[str, Any] = {"generations": 2, "population": 4, "eval_episodes": 2, "target": None}
    tp.train("CartPole-v1", "cem", run_dir="whole", **common)
    shutil.copytree("whole", "run")
    assert main(words) == 0  # and what is imported late is
    codes: list[int] = []
    for more in (0, 1, 2, 3, 5, 8, 30):
        for name in ("run", "new"):
            shutil.rmtree(name, ignore_errors=True)
        shutil.copytree("whole", "run")
        capfd.readouterr()
        with only(more):
            codes.append(main(words))
        said = capfd.readouterr().err
        assert "Traceback" not in said, (more, said)
        assert codes[-1] in (0, 2), (more, codes, said)
        if codes[-1] == 2:
            (line,) = [line for line in said.splitlines() if line.startswith("torchpolicy: ")]
            assert "Too many open files" in line, (more, line)
    assert codes[0] == 2, codes
    assert codes[-1] == 0, codes
