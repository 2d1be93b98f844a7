"""The table of promises in docs/reliability.md: every line has its tests, and those that no other file holds."""

import ast
import os
import re
import signal
import time
from functools import cache
from pathlib import Path

import pytest
from quick import quick, rows, weights
from worlds import Guess

from torchpolicy.base.signals import Stopped, stoppable
from torchpolicy.callbacks import Callback
from torchpolicy.training.trainer import Trainer

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"

LINES = 41
"""Faults in the table."""


def section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]


@cache
def names_in(path: Path) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {each.name for each in tree.body if isinstance(each, ast.FunctionDef) and each.name.startswith("test_")}


def test_every_line_of_the_table_has_tests_that_exist() -> None:
    lines = re.findall(r"^\| (\d+) \|.*\| (.*?) \|$", section("Every promise and its test"), re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, LINES + 1))
    for number, cell in lines:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", cell)
        assert named, number
        assert len(named) == cell.count("`") / 2, number
        for file, name in named:
            assert name in names_in(TESTS / file), f"line {number}: {file} has no {name}"


def test_every_test_that_the_page_names_elsewhere_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", section("Processes and hosts")))
    assert named
    assert named <= set().union(*(names_in(path) for path in TESTS.rglob("test_*.py")))


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    pid = os.fork()
    if pid == 0:
        with stoppable():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
            except Stopped:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130


def test_without_a_threshold_nothing_stops_early() -> None:
    assert getattr(Guess(), "spec", None) is None
    result = quick()
    assert result.evaluation.mean > 0
    assert len(result.metrics) == 3


class Delete(Callback):
    """Deletes TensorBoard's files in the second generation."""

    def on_generation_end(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        if metrics["generation"] == 2:
            found = list(Path("run").rglob("events*"))
            assert found
            for path in found:
                path.unlink()


def test_a_run_whose_event_files_are_deleted_goes_on() -> None:
    result = quick(run_dir="run", generations=4, callbacks=[Delete()])
    assert len(rows(Path("run"))) == 4
    assert weights(result).equal(weights(quick(generations=4)))


def test_a_clock_that_is_set_back_changes_no_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    begin, calls = time.time(), [0]

    def backwards() -> float:
        calls[0] += 1
        return begin - 3600.0 * calls[0]

    monkeypatch.setattr(time, "time", backwards)
    elapsed = [row["time/elapsed"] for row in quick().metrics]
    assert 0 < elapsed[0] <= elapsed[1] <= elapsed[2] < 600
