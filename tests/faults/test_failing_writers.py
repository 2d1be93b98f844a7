"""No writer ends a run, whatever it raises."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.discovery import names
from torchpolicy.output.writers.base import Writer
from torchpolicy.output.writers.console import ConsoleWriter
from torchpolicy.output.writers.jsonl import JsonlWriter
from torchpolicy.output.writers.make import writer_classes
from torchpolicy.output.writers.tensorboard import TensorBoardWriter

METHODS = ("__init__", "write", "note", "picture", "end", "close")


def train(**arguments: Any) -> tp.Result:
    return tp.train(Guess, "cem", **{"population": 6, "generations": 3, "eval_episodes": 2, **arguments})


@pytest.mark.parametrize("kind", writer_classes())
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("error", "says"),
    [(KeyError("a bug"), "KeyError: 'a bug'"), (SystemExit(0), "SystemExit: 0 (sys.exit was called)")],
)
def test_a_writer_with_a_bug_is_told_of_once_and_the_run_goes_on(
    kind: type[Writer],
    method: str,
    error: BaseException,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    works = getattr(kind, method)

    def fails(self: Writer, *given: Any) -> None:
        if method == "close":
            works(self)  # no file is left open
        raise error

    class Film:
        """A picture after every generation."""

        def __init__(self, *_: object) -> None:
            pass

        def look(self, policy: object) -> bytes:
            return b"GIF89a\x01\x00\x01\x00"

        def close(self) -> None:
            pass

    settles = {"tolerance": 1e9, "tolerance_generations": 1, "eval_every": 1}  # and is noted to have settled
    whole = train(**settles)
    monkeypatch.setattr("torchpolicy.runs.session._filming", Film)
    monkeypatch.setattr(kind, method, fails)
    run_dir = Path("run")
    if kind is JsonlWriter and method in ("__init__", "write"):
        assert train(run_dir=run_dir, **settles).metrics == []  # that is where they are read from
    else:
        assert len(train(run_dir=run_dir, **settles).metrics) == len(whole.metrics)
    assert torch.equal(tp.load(run_dir).net.weight, whole.policy.net.weight)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count(f"{kind.__name__} cannot") == said.count(says) == 1


def test_what_a_console_cannot_note_is_heard_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise UnicodeError

    monkeypatch.setattr(ConsoleWriter, "note", fails)
    train(tolerance=1e9, tolerance_generations=1, eval_every=1)
    said = capsys.readouterr().err
    assert said.count("the held-out score stays within") == 1
    assert said.count("ConsoleWriter cannot write: UnicodeError") == 1


def test_a_picture_that_fails_without_a_word_is_noted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Film:
        def __init__(self, *_: object) -> None:
            pass

        def look(self, policy: object) -> bytes:
            raise RuntimeError

        def close(self) -> None:
            pass

    monkeypatch.setattr("torchpolicy.runs.session._filming", Film)
    assert len(train().metrics) == 3
    assert capsys.readouterr().err.count("no pictures of episodes: RuntimeError") == 1


@pytest.mark.parametrize("size", [1e19, 1e20, 1e38, 1e300])
def test_tensorboard_draws_numbers_of_any_size(size: float, tmp_path: Path) -> None:
    def large() -> Mapping[str, torch.Tensor]:
        return {"rollout/returns": torch.tensor([[size, -size, 1.0]], dtype=torch.float64)}

    writer = TensorBoardWriter(tmp_path)
    writer.write({"rollout/env_steps": 10.0, "rollout/ep_rew_mean": size}, 1.0, large)
    writer.close()
    board = EventAccumulator(str(tmp_path), {"histograms": 0}).Reload()
    assert board.Histograms("rollout/returns")[0].histogram_value.num == 3
    assert board.Scalars("rollout/ep_rew_mean")[0].value == pytest.approx(size if size < 1e39 else float("inf"))


def test_every_writer_is_among_those_that_a_run_opens() -> None:
    assert len(writer_classes()) == len(names("output.writers"))
