"""Runs in processes of their own, to be interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PYTHON = [sys.executable, "-m", "torchpolicy", "train"]
CEM = ["cem", "--population", "40"]
SLOW = ["--env", "Acrobot-v1", "--generations", "12", "--eval-episodes", "5"]
"""About four seconds of work in one process, in 12 generations."""


def start(
    run_dir: str,
    *options: str,
    algorithm: Sequence[str] = CEM,
    launcher: Sequence[str] = PYTHON,
    environ: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    command = [*launcher, *algorithm, *SLOW, "--run-dir", run_dir, "--checkpoint-seconds", "0", *options]
    env = {**os.environ, **(environ or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == code, err
    return out, err


def resume(run_dir: str, *options: str) -> tuple[str, str]:
    command = [sys.executable, "-m", "torchpolicy", "resume", run_dir, *options]
    return finish(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))


def result(run_dir: str) -> tuple[str, list[dict[str, Any]]]:
    """The bits of the final weights, and the metrics but for times."""
    rows = [json.loads(line) for line in (Path(run_dir) / "metrics.jsonl").read_text().splitlines()]
    metrics = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]
    return json.loads((Path(run_dir) / "policy" / "policy.json").read_text())["sha256"], metrics


def wait_until(condition: Callable[[], Any], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def wait_for_generation(run_dir: str, generation: int) -> None:
    path = Path(run_dir) / "metrics.jsonl"
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= generation)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Pids of a run's worker processes, in the order of their ranks."""
    return sorted(children(process.pid))


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
