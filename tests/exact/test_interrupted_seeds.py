"""Several seeds that are interrupted in the middle, and go on with the same command to the same bits."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from interruptible import children, gone, result, wait_for_generation, wait_until

import torchpolicy as tp

SETTINGS: dict[str, Any] = {"generations": 12, "population": 8, "eval_episodes": 2, "checkpoint_seconds": 0}
COMMAND = [sys.executable, "-m", "torchpolicy", "train", "cem", "--env", "many:Slow", "--seeds", "3-4", "--jobs", "2"]
COMMAND += [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def begin(generation: int) -> tuple[subprocess.Popen[str], Path, list[int]]:
    """Train seeds 3 and 4 until seed 3 has seen so many generations; the process, the folder, the pids of the runs."""
    places = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    process = subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | places
    )
    wait_until(lambda: list(Path("runs").glob("*/*/s3/metrics.jsonl")))
    (folder,) = Path("runs").glob("*/*")
    wait_for_generation(str(folder / "s3"), generation)
    return process, folder, children(process.pid)


@pytest.mark.timeout(300)
def test_after_ctrl_c_the_same_command_goes_on_to_the_same_bits() -> None:
    process, folder, pids = begin(2)
    assert len(pids) >= 2
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("stopped; the same command goes on from here\n")
    wait_until(lambda: all(map(gone, pids)), seconds=5)
    before = max(len(list((folder / f"s{seed}").glob("policy"))) for seed in (3, 4))
    assert before == 0  # so none of them was finished
    process, again, _ = begin(3)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert again == folder
    assert f"runs   {folder}\n" in out
    assert "Traceback" not in err
    assert "leaked" not in err
    tp.train("many:Slow", "cem", seed=3, run_dir="alone", **SETTINGS)
    assert result(str(folder / "s3")) == result("alone")


@pytest.mark.timeout(300)
def test_a_killed_command_takes_its_runs_along_and_the_next_one_goes_on() -> None:
    process, folder, pids = begin(2)
    process.kill()
    process.communicate()
    wait_until(lambda: all(map(gone, pids)), seconds=20)
    process, again, pids = begin(4)
    assert again == folder
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in err
    wait_until(lambda: all(map(gone, pids)), seconds=5)
