"""Writers of the user's own beside those of a run."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from worlds import Guess

import torchpolicy as tp


class Lines(tp.Writer):
    """Writes down, into a file, all that it hears, and in which process."""

    def __init__(self, run_dir: Path, resumed_at: int | None = None, *, name: str = "lines") -> None:
        super().__init__(run_dir, resumed_at)
        assert (run_dir / "config.json").exists()
        self.path = run_dir / name
        self._say(f"open {resumed_at} in {os.getpid()}")

    def _say(self, text: str) -> None:
        with self.path.open("a") as file:
            file.write(f"{text}\n")

    def write(self, metrics: dict[str, float], progress: float, distributions: Any = None) -> None:
        self._say(f"generation {metrics['generation']:.0f} {sorted(distributions())[0]}")
        metrics.clear()

    def note(self, text: str) -> None:
        self._say(f"note {text}")

    def end(self, metrics: dict[str, float], why: str) -> None:
        self._say(f"end because {why} {sorted(metrics)[-1]}")

    def close(self) -> None:
        self._say("close")

    @staticmethod
    def heard(path: Path) -> list[str]:
        return [line.split(" in ")[0] for line in path.read_text().splitlines() if not line.startswith("note")]


def train(run_dir: str, *writers: object, **settings: Any) -> tp.Result:
    given: dict[str, Any] = {"population": 6, "generations": 3, "eval_episodes": 2, "target": None, "seed": 0}
    return tp.train(Guess, "cem", **given | {"run_dir": run_dir, "writers": writers} | settings)


def weights(result: tp.Result) -> torch.Tensor:
    return result.policy.net.weight  # type: ignore[return-value]


def test_it_hears_a_run_from_beginning_to_end_and_changes_nothing() -> None:
    plain, watched = train("plain"), train("watched", Lines, partial(Lines, name="more"))
    expected = ["open None", *(f"generation {number} rollout/returns" for number in (1, 2, 3))]
    expected += ["end because its budget of generations is used up time/elapsed", "close"]
    for name in ("lines", "more"):
        assert Lines.heard(watched.run_dir / name) == expected
    assert torch.equal(weights(plain), weights(watched))
    assert [set(row) for row in watched.metrics] == [set(row) for row in plain.metrics]  # not those that it cleared
    assert (plain.run_dir / "config.json").read_bytes() == (watched.run_dir / "config.json").read_bytes()


def test_only_the_process_that_reports_makes_it() -> None:
    result = train("run", Lines, workers=2)
    lines = [line for line in (result.run_dir / "lines").read_text().splitlines() if line.startswith("open")]
    assert len(lines) == 1
    assert lines[0] != f"open None in {os.getpid()}"
    assert torch.equal(weights(result), weights(train("alone")))


def test_it_goes_on_with_a_run_that_is_resumed() -> None:
    whole, first = train("whole"), train("run", generations=2)
    steps = int(first.metrics[-1]["rollout/env_steps"])
    rest = tp.resume("run", env=Guess, generations=3, writers=[Lines])
    assert Lines.heard(rest.run_dir / "lines")[:2] == [f"open {steps}", "generation 3 rollout/returns"]
    assert torch.equal(weights(rest), weights(whole))


@pytest.mark.parametrize("method", ["__init__", "write", "note", "end", "close"])
def test_one_that_raises_is_told_once_and_the_run_goes_on(
    method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the server is gone")

    monkeypatch.setattr(Lines, method, fails)
    result = train("run", Lines, tolerance=1e9, tolerance_generations=1, eval_every=1)
    assert len(result.metrics) == 2
    assert capsys.readouterr().err.count("the server is gone") == 1


def test_what_makes_no_writer_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(train("run", lambda run_dir, resumed_at: "a text").metrics) == 3
    told = "<lambda> cannot begin, and is left out: TypeError: it should return a torchpolicy.Writer, got 'a text'"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("writers", "message"),
    [
        (
            [3],
            r"a writer should be a subclass of torchpolicy.Writer, or a function of \(run_dir, resumed_at\) .*, got 3",
        ),
        ([dict], "a writer should be a subclass .*, got <class 'dict'>"),
        (Lines, "writers should be a list, each a subclass of torchpolicy.Writer, .*, got <class"),
        ("wandb", "writers should be a list, .*, got 'wandb'"),
    ],
)
def test_mistakes_are_named(writers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.train(Guess, "cem", writers=writers)
