"""Processes on this machine: started, watched, and started again when one is lost."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import LOST, Group, LostProcessError, Stopped, stoppable
from torchpolicy.base.storage import load_checkpoint
from torchpolicy.output.config import check_identity
from torchpolicy.runs.job import Job
from torchpolicy.runs.session import run_job

RESTARTS = 5
"""Times that a group is started again without a newer checkpoint before the run is given up."""

DONE = 76
"""Exit code of a process that has done its work. With 0 an environment may end it, by ``os._exit``, before it has."""

GRACE_SECONDS = 5.0
"""What a process gets to write a checkpoint after a signal."""


def run_workers(job: Job, run_dir: Path, count: int) -> None:
    """As :func:`run_job`, in `count` processes of this machine, forked so that they share the caller's own classes.

    If one of them dies, all are started again from the last checkpoint.

    Raises:
        RunError, ValueError: What ended a process.
        Stopped: By a signal, after a checkpoint.
    """
    checkpoints, ours = run_dir / "checkpoints", partial(_see, job.identity)
    best = -1  # generation of the newest checkpoint
    failures = 0  # since then
    while (lost := _attempt(job, run_dir, count)) is not None:
        state, _ = load_checkpoint(checkpoints, ours)
        reached = -1 if state is None else int(state["generation"])
        failures = 1 if reached > best else failures + 1
        best = max(best, reached)
        if failures > RESTARTS:
            raise RunError(f"{lost}, {failures} times without a newer checkpoint")
        print(f"torchpolicy: {lost}: starting all {count} again from generation {max(0, reached)}", file=sys.stderr)
    state, _ = load_checkpoint(checkpoints, ours)
    if state is not None:  # it was moved in the processes' copies
        job.algorithm.load_state_dict(state["algorithm"])


def _see(identity: str | None, state: Mapping[str, Any], path: Path) -> None:
    """See that a checkpoint is of the run."""
    check_identity(state, identity)


def _attempt(job: Job, run_dir: Path, count: int) -> str | None:
    """Run all processes until they end; None if they did their work, else how one was lost."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ValueError(f"workers={count}: this system cannot fork processes; start them with torchrun instead")
    context = multiprocessing.get_context("fork")
    with socket.create_server(("127.0.0.1", 0), backlog=count) as server, ExitStack() as stack:
        lifeline, ours = os.pipe()  # closes when this process is gone, however
        errors, theirs = context.Pipe(duplex=False)

        def work(rank: int) -> None:
            os.close(ours)
            _child(job, run_dir, rank, count, server, lifeline, theirs)

        processes: list[BaseProcess] = [
            context.Process(target=work, args=(rank,), name=f"torchpolicy-{rank}") for rank in range(count)
        ]
        stack.callback(errors.close)
        stack.callback(theirs.close)
        stack.callback(_end, processes)
        stack.callback(os.close, ours)
        stack.callback(os.close, lifeline)
        with stoppable(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads; ours hold no locks
            try:
                for process in processes:
                    process.start()
                return _watch(processes, errors)
            except (Stopped, RunError):
                _stop(processes)
                raise


def _child(
    job: Job, run_dir: Path, rank: int, count: int, server: socket.socket, lifeline: int, errors: Connection
) -> None:
    """What a forked process does. Ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    code = 1
    try:
        group = Group.around(server, rank, count)
        run_job(job, run_dir, group, signals=(signal.SIGTERM,))
        group.close()
        code = DONE
    except Stopped as stop:
        code = 128 + stop.number
    except LostProcessError:
        code = LOST
    except (RunError, ValueError) as error:
        errors.send(("RunError" if isinstance(error, RunError) else "ValueError", str(error)))
    except BaseException:
        errors.send(("RunError", traceback.format_exc()))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(processes: list[BaseProcess], errors: Connection) -> str | None:
    """Wait until all have ended well, or one has not."""
    running: dict[object, BaseProcess] = {process.sentinel: process for process in processes}
    while running:
        for sentinel in wait([process.sentinel for process in running.values()]):
            process = running.pop(sentinel)
            process.join()
            if errors.poll():
                kind, text = errors.recv()
                raise ValueError(text) if kind == "ValueError" else RunError(text)
            if process.exitcode == LOST:
                time.sleep(0.2)  # the one that died may be known by now
            if process.exitcode != DONE:
                dead = [other for other in processes if other.exitcode not in (None, DONE, LOST)] or [process]
                early = ", before its work was done: does code of yours call os._exit?" if dead[0].exitcode == 0 else ""
                return f"process {dead[0].name.rpartition('-')[2]} was lost (exit code {dead[0].exitcode}{early})"
    return None


def _stop(processes: list[BaseProcess]) -> None:
    """Let the first process write a checkpoint; if it waits for the others, their end wakes it."""
    first, others = processes[0], processes[1:]
    if first.is_alive():
        first.terminate()
        first.join(GRACE_SECONDS / 5)
        _end(others)
        first.join(GRACE_SECONDS)


def _end(processes: list[BaseProcess]) -> None:
    """Leave no process behind."""
    for process in processes:
        if process.is_alive():
            process.kill()
    for process in processes:
        if process.pid is not None:
            process.join()


def _die_with(lifeline: int) -> None:
    """Wait for the parent's end of a pipe to close."""
    os.read(lifeline, 1)
    os._exit(LOST)
