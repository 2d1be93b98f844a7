"""A job in its folder: who runs it, what is refused before, and what is said when a signal ends it."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jobs import job_of

from torchpolicy.base.launcher import is_launched
from torchpolicy.base.processes import Group
from torchpolicy.base.signals import Stopped
from torchpolicy.runs import launch
from torchpolicy.runs.folder import locked
from torchpolicy.runs.job import Job

Calls = list[tuple[str, Job, Path, Any]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Who was asked to run what, in place of running it."""
    found: Calls = []
    monkeypatch.setattr(launch, "run_job", lambda *given: found.append(("here", *given)))
    monkeypatch.setattr(launch, "run_workers", lambda *given: found.append(("workers", *given)))
    return found


class Others(Group):
    """Two processes, of which this is one; the other says what it is told to."""

    def __init__(self, rank: int, **changes: Any) -> None:
        super().__init__()
        self.rank, self.size, self._changes = rank, 2, changes

    def gather(self, text: str) -> list[str]:
        other = json.dumps(json.loads(text) | self._changes) if text.startswith("{") else "folder-of-0"
        return [text, other] if self.rank == 0 else [other, text]


def test_one_process_runs_it_here_in_a_new_folder(calls: Calls) -> None:
    job = job_of()
    folder = launch.run(job, "logs", None, 1)
    ((who, given, run_dir, group),) = calls
    assert (who, run_dir, group.size) == ("here", folder, 1)
    assert folder.parent == Path("logs/Guess")
    assert folder.name.startswith("cem-s5-")
    config = json.loads((folder / "config.json").read_text())
    assert config["identity"] == given.identity
    assert given.identity is not None
    assert given == replace(job, identity=given.identity)


def test_the_same_job_has_the_same_identity_and_another_has_another(calls: Calls) -> None:
    for seed in (5, 5, 6):
        launch.run(job_of(seed=seed), "logs", None, 1)
    first, again, other = (given.identity for _, given, *_ in calls)
    assert first == again != other


def test_more_processes_are_workers(calls: Calls) -> None:
    folder = launch.run(job_of(), "", "run", 3)
    ((who, _, run_dir, count),) = calls
    assert (who, run_dir, count) == ("workers", folder, 3)
    assert folder == Path("run")


def test_under_torchrun_every_process_runs_it_in_the_folder_of_the_first(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Group, "of_launcher", lambda patience: Others(1))
    assert launch.run(job_of(), "logs", None, 2) == Path("folder-of-0")
    assert [who for who, *_ in calls] == ["here"]
    assert not Path("logs").exists()


def test_processes_that_were_asked_for_other_runs_are_refused(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Group, "of_launcher", lambda patience: Others(0, seed=6, torch="1.0"))
    with pytest.raises(ValueError, match="process 1 would not run what process 0 runs: they differ in seed, torch"):
        launch.run(job_of(), "logs", None, 1)
    assert not calls
    assert not Path("logs").exists()


def test_workers_on_a_gpu_are_refused(calls: Calls) -> None:
    job = replace(job_of(), policy=SimpleNamespace(device=torch.device("cuda:0")))
    with pytest.raises(ValueError, match="workers=2: forked processes cannot use cuda:0; start them with torchrun"):
        launch.run(job, "logs", None, 2)
    assert not calls


def test_all_processes_of_a_machine_must_have_room(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.base.memory.machine_memory", lambda: 3 * 2**30)
    job = replace(job_of(), memory=2 * 2**30)
    launch.run(job, "logs", None, 1)
    with pytest.raises(ValueError, match=r"about 4.0 GiB of memory in 2 processes, and this machine has 3.0 GiB"):
        launch.run(job, "other", None, 2)
    assert len(calls) == 1
    assert not Path("other").exists()


def test_a_folder_is_held_while_its_run_goes_on_and_free_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(job: Job, run_dir: Path, group: Group) -> None:
        with pytest.raises(ValueError, match=f"run is being run by process {os.getpid()}"), locked(run_dir):
            pass

    monkeypatch.setattr(launch, "run_job", look)
    launch.run(job_of(), "", "run", 1)
    with locked(Path("run")):
        pass


def stopped_by(number: int, monkeypatch: pytest.MonkeyPatch, *, folder_goes: bool = False) -> BaseException:
    """What the caller sees of a signal in a run."""

    def stop(job: Job, run_dir: Path, group: Group) -> None:
        if folder_goes:
            (run_dir / "config.json").unlink()
        raise Stopped(number)

    monkeypatch.setattr(launch, "run_job", stop)
    with pytest.raises((KeyboardInterrupt, SystemExit)) as raised:
        launch.run(job_of(), "", "run", 1)
    return raised.value


def test_ctrl_c_is_an_interrupt_that_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = stopped_by(signal.SIGINT, monkeypatch)
    assert type(error) is KeyboardInterrupt  # a subclass would have another exit code
    assert str(error) == "stopped; to go on: torchpolicy resume run --env worlds:Guess"
    assert capsys.readouterr().err == f"{error}\n"
    assert error._render_traceback_() == [f"KeyboardInterrupt: {error}"]


def test_ctrl_c_at_a_prompt_is_said_once_by_the_exception(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert str(stopped_by(signal.SIGINT, monkeypatch)).startswith("stopped; to go on: tp.resume('run', env=")
    assert capsys.readouterr().err == ""


def test_another_signal_ends_the_process_with_its_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = stopped_by(signal.SIGTERM, monkeypatch)
    assert isinstance(error, SystemExit)
    assert error.code == 128 + signal.SIGTERM
    assert "to go on: torchpolicy resume run" in capsys.readouterr().err


def test_a_folder_that_is_gone_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped_by(signal.SIGTERM, monkeypatch, folder_goes=True)
    assert capsys.readouterr().err == "stopped; run was deleted while the run went on\n"


WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "29400"}


@pytest.mark.parametrize(
    ("environ", "launched"),
    [
        ({}, False),
        ({"RANK": "0"}, False),  # which other programs set, too
        ({"WORLD_SIZE": "1", "MASTER_ADDR": "here"}, False),
        (WHOLE, True),
        ({"TORCHELASTIC_RUN_ID": "none"}, True),
    ],
)
def test_a_launcher_is_known_by_its_variables(environ: dict[str, str], launched: bool) -> None:
    assert is_launched(environ) is launched


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"MASTER_PORT": ""}, "this is one of several processes: set MASTER_PORT, too"),
        ({"MASTER_ADDR": "", "MASTER_PORT": ""}, "set MASTER_ADDR, MASTER_PORT, too"),
        ({"RANK": "2"}, "RANK should be a number below WORLD_SIZE, got RANK=2, WORLD_SIZE=2"),
        ({"RANK": "first"}, "got RANK=first"),
        ({"MASTER_PORT": "http"}, "port http"),
    ],
)
def test_half_a_launcher_is_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        is_launched(WHOLE | change)
