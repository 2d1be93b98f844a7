"""Processes on this machine: all of them work, one that dies is replaced, and none is left behind."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from jobs import job_of

from torchpolicy.base.checkpoints import save_checkpoint
from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import LOST, Group, LostProcessError
from torchpolicy.base.signals import Stopped
from torchpolicy.runs import workers
from torchpolicy.runs.job import Job

Work = Callable[[Job, Path, Group], None]

RUN = Path("run")


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes do not connect with each other, which takes a second and is tried by one test."""

    class Unconnected(Group):
        @classmethod
        def around(cls, server: object, rank: int, size: int, board: object) -> Group:
            group = cls()
            group.rank, group.size = rank, size
            return group

    monkeypatch.setattr(workers, "Group", Unconnected)
    monkeypatch.setattr(workers, "GRACE_SECONDS", 1.0)


def run(work: Work, count: int = 2) -> Job:
    """Let processes do this work, each with its group; forked, they know what is patched here."""
    job = job_of()
    (RUN / "checkpoints").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "run_job", lambda job, run_dir, group, signals: work(job, run_dir, group))
        workers.run_workers(job, RUN, count)
    return job


def attempts(rank: int) -> int:
    """How often a process of this rank has begun, this time included."""
    path = RUN / f"attempts-{rank}"
    with path.open("a") as file:
        file.write(".")
    return path.stat().st_size


def pids() -> list[int]:
    return [int(path.name.partition("-")[2]) for path in RUN.glob("pid-*")]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def checkpoint_of(job: Job, generation: int) -> None:
    state = {"generation": generation, "identity": job.identity, "algorithm": job.algorithm.state_dict()}
    save_checkpoint(RUN / "checkpoints", generation, state)


def test_the_processes_are_one_group_and_have_the_callers_own_objects() -> None:
    own = object()

    def work(job: Job, run_dir: Path, group: Group) -> None:
        everybody = group.gather(f"{group.rank} of {group.size} has {id(own)}")
        (run_dir / f"rank-{group.rank}").write_text("\n".join(everybody))

    run(work)
    expected = "\n".join(f"{rank} of 2 has {id(own)}" for rank in range(2))
    assert [(RUN / f"rank-{rank}").read_text() for rank in range(2)] == [expected] * 2


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "exit code -9"),
        (lambda: os._exit(0), "exit code 0, before its work was done: does code of yours call os._exit?"),
    ],
)
def test_a_process_that_is_lost_is_named_and_all_are_started_again(
    rank: int, end: Callable[[], None], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def work(job: Job, run_dir: Path, group: Group) -> None:
        if attempts(group.rank) > 1:
            return
        if group.rank == rank:
            while not (RUN / f"attempts-{1 - rank}").exists():  # the other one has begun as well
                time.sleep(0.01)
            end()
        time.sleep(60)  # until it is ended

    run(work)
    assert [attempts(each) - 1 for each in range(2)] == [2, 2]
    told = f"torchpolicy: process {rank} was lost ({words}): starting all 2 again from generation 0"
    assert capfd.readouterr().err.splitlines() == [told]


@pytest.mark.usefixtures("_alone")
def test_the_one_that_died_is_named_and_not_the_one_that_misses_it(capfd: pytest.CaptureFixture[str]) -> None:
    def work(job: Job, run_dir: Path, group: Group) -> None:
        if attempts(group.rank) > 1:
            return
        if group.rank == 0:
            raise LostProcessError("no answer from process 1")
        time.sleep(0.1)
        os._exit(3)

    run(work)
    assert "process 1 was lost (exit code 3)" in capfd.readouterr().err
    assert LOST != 3


@pytest.mark.usefixtures("_alone")
def test_it_gives_up_when_no_newer_checkpoint_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "RESTARTS", 2)

    def work(job: Job, run_dir: Path, group: Group) -> None:
        if attempts(0) == 2:
            checkpoint_of(job, 4)
        os._exit(3)

    with pytest.raises(RunError, match=r"process 0 was lost \(exit code 3\), 3 times without a newer checkpoint"):
        run(work, count=1)
    assert attempts(0) - 1 == 4  # the second attempt came further, so it and two restarts count anew


@pytest.mark.usefixtures("_alone")
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("workers differ"), ValueError, "^workers differ$"),
        (RunError("too many failures"), RunError, "^too many failures$"),
        (KeyError("a bug"), RunError, "(?s)Traceback.*KeyError: 'a bug'"),
        (SystemExit(0), RunError, "(?s)Traceback.*SystemExit: 0"),
    ],
)
def test_what_ends_a_process_ends_the_run(error: BaseException, kind: type[Exception], words: str) -> None:
    def work(job: Job, run_dir: Path, group: Group) -> None:
        (run_dir / f"pid-{os.getpid()}").touch()
        if group.rank == 1:
            raise error
        time.sleep(60)

    begin = time.monotonic()
    with pytest.raises(kind, match=words):
        run(work)
    assert time.monotonic() - begin < 30
    assert all(is_gone(pid) for pid in pids())


@pytest.mark.usefixtures("_alone")
def test_the_callers_algorithm_is_where_the_last_checkpoint_is() -> None:
    def work(job: Job, run_dir: Path, group: Group) -> None:
        job.algorithm.center.fill_(3.0)  # type: ignore[union-attr]
        if group.rank == 0:
            checkpoint_of(job, 3)

    job = run(work)
    assert torch.equal(job.algorithm.center, torch.full((12,), 3.0))


@pytest.mark.usefixtures("_alone")
def test_a_signal_lets_the_first_process_save_and_ends_all_others() -> None:
    def work(job: Job, run_dir: Path, group: Group) -> None:
        signal.signal(signal.SIGTERM, stop)
        (run_dir / f"pid-{os.getpid()}").touch()
        if group.rank == 1:
            while len(pids()) < 2:
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(60)
        try:
            time.sleep(60)
        except Stopped:
            (run_dir / "saved").touch()
            raise

    def stop(number: int, frame: object) -> None:
        raise Stopped(number)

    with pytest.raises(Stopped) as stopped:
        run(work)
    assert stopped.value.number == signal.SIGTERM
    assert (RUN / "saved").exists()
    assert len(pids()) == 2
    assert all(is_gone(pid) for pid in pids())


@pytest.mark.usefixtures("_alone")
def test_a_signal_within_a_fork_is_not_lost() -> None:
    forks: list[int] = []

    def signalled() -> None:
        if len(forks) == 1:  # the callback stays registered for as long as Python runs
            forks.append(os.getpid())
            os.kill(os.getpid(), signal.SIGTERM)

    os.register_at_fork(after_in_parent=signalled)
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()  # torch has threads, too, which take signals
    forks.append(0)
    with pytest.raises(Stopped):
        run(lambda job, run_dir, group: time.sleep(60))
    assert forks[1:] == [os.getpid()]


def test_without_fork_it_is_refused_and_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    with pytest.raises(ValueError, match="workers=2: this system cannot fork processes; start them with torchrun"):
        run(lambda job, run_dir, group: attempts(group.rank) and None)
    assert not list(RUN.glob("attempts-*"))
