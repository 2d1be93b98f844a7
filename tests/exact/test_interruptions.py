"""Killed, stopped, restarted: always the bits of the run that was never touched."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import interruptible
import pytest
from interruptible import finish, kill, result, resume, start, wait_for_generation, wait_until, workers

from torchpolicy.base.discovery import names
from torchpolicy.base.processes import LOST


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict[str, float]]]:
    folder = str(tmp_path_factory.mktemp("untouched") / "run")
    finish(start(folder))
    return result(folder)


Untouched = tuple[str, list[dict[str, float]]]


slow = pytest.mark.slow


@pytest.mark.parametrize("generation", [pytest.param(1, marks=slow), 6])
def test_killed_and_resumed(untouched: Untouched, generation: int) -> None:
    process = start("run")
    wait_for_generation("run", generation)
    time.sleep(0.1)
    process.kill()
    process.communicate()
    resume("run", "--workers", "2" if generation == 6 else "1")
    assert result("run") == untouched
    assert "is finished: its budget of generations is used up" in resume("run")[1]


@slow
@pytest.mark.parametrize("name", names("learn"))
def test_a_learner_killed_and_resumed(name: str) -> None:
    algorithm = [name, "--episodes", "40", "--learning-rate", "0.05"]
    finish(start("untouched", algorithm=algorithm))
    process = start("run", algorithm=algorithm)
    wait_for_generation("run", 4)
    process.kill()
    process.communicate()
    resume("run", "--workers", "2")
    assert result("run") == result("untouched")


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=slow)])
def test_a_killed_worker_is_replaced_by_itself(untouched: Untouched, rank: int) -> None:
    process = start("run", "--workers", "2")
    wait_for_generation("run", 3)
    kill(workers(process)[rank])
    _, err = finish(process)
    assert f"process {rank} was lost (exit code -9): starting all 2 again from generation" in err
    assert result("run") == untouched


def test_a_killed_parent_takes_its_workers_along(untouched: Untouched) -> None:
    process = start("run", "--workers", "2")
    wait_for_generation("run", 2)
    pids = workers(process)
    assert len(pids) == 2
    process.kill()
    process.communicate()
    wait_until(lambda: all(interruptible.gone(pid) for pid in pids), seconds=5)
    resume("run")
    assert result("run") == untouched


@pytest.mark.parametrize(
    ("count", "number", "code"),
    [
        (1, signal.SIGINT, 130),
        (3, signal.SIGTERM, 143),
        pytest.param(1, signal.SIGTERM, 143, marks=slow),
        pytest.param(3, signal.SIGINT, 130, marks=slow),
    ],
)
def test_a_signal_goes_back_to_the_generations_start(untouched: Untouched, count: int, number: int, code: int) -> None:
    process = start("run", "--workers", str(count), "--checkpoint-seconds", "1000")
    wait_for_generation("run", 4)
    pids = workers(process)
    begin = time.monotonic()
    process.send_signal(number)
    _, err = finish(process, code)
    assert time.monotonic() - begin < 5
    assert "stopped; to go on: torchpolicy resume run" in err
    assert "Traceback" not in err
    assert all(interruptible.gone(pid) for pid in pids)
    newest = max(int(path.name.split("-")[1]) for path in Path("run/checkpoints").iterdir())
    assert newest >= 3
    resume("run")
    assert result("run") == untouched


@slow
def test_under_torchrun_a_killed_process_is_replaced(untouched: Untouched) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "3"]
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", "29511", "-m", "torchpolicy", "train"]
    process = start("run", launcher=torchrun)
    wait_for_generation("run", 3)
    ranks = [pid for pid in workers(process) if b"torchpolicy" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    kill(ranks[-1])
    out, _ = finish(process)
    assert out.count("run    run") == 1
    assert result("run") == untouched


@pytest.mark.slow
def test_another_launcher_sets_four_variables(untouched: Untouched) -> None:
    """As Kubernetes' PyTorchJob does. Nobody replaces a process there, so the other one ends and says why."""

    def launch(port: int) -> list[subprocess.Popen[str]]:
        place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return [start("run", environ={"RANK": str(rank), **place}) for rank in range(2)]

    first, second = launch(29513)
    wait_for_generation("run", 3)
    second.kill()
    second.communicate()
    _, err = finish(first, LOST)
    assert "torchpolicy: process 0 of 2: " in err
    first, second = launch(29514)
    out, _ = finish(first)
    finish(second)
    assert out.count("run    run") == 1
    assert result("run") == untouched


def test_a_run_is_run_once_at_a_time() -> None:
    process = start("run")
    wait_for_generation("run", 1)
    again = start("run")
    _, err = finish(again, 2)
    assert f"run is being run by process {process.pid}" in err
    process.kill()
    process.communicate()
