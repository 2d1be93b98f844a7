"""Worker processes on this machine: started, watched, and started again if one is lost."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.errors import RunError
from torchpolicy.base.peers import Board
from torchpolicy.base.processes import LOST, Group, LostProcessError
from torchpolicy.base.signals import Stopped, holding, stoppable
from torchpolicy.output.config import check_identity
from torchpolicy.runs.job import Job
from torchpolicy.runs.patrol import Patrol
from torchpolicy.runs.session import run_job

RESTARTS = 5
"""How often the processes are started again without a newer checkpoint before the run is given up."""

DONE = 76
"""Exit code of a process that has done its work. It is not 0, because an environment that calls ``os._exit(0)`` would
end a process with that before its work is done."""

PATROL_SECONDS = 1.0
"""Seconds between looks at processes that may be silent."""

GRACE_SECONDS = 5.0
"""Seconds that a process gets to write a checkpoint after a signal."""


def run_workers(job: Job, run_dir: Path, count: int) -> None:
    """Run a job in processes on this machine, as :func:`run_job` does in this one.

    They are forked, so that classes of the caller's own need not be importable. If one of them dies, all are started
    again from the last checkpoint.

    Args:
        job: The run, put together and checked. Its search or learner is in its last state afterwards.
        run_dir: The run's folder.
        count: Number of processes.

    Raises:
        RunError, ValueError: If one of these ended a process.
        Stopped: If a signal arrived, after a checkpoint was written.
    """
    checkpoints, ours = run_dir / "checkpoints", partial(_check_owner, job.identity)
    best = -1  # generation of the newest checkpoint
    failures = 0  # since that checkpoint
    while (lost := _attempt(job, run_dir, count)) is not None:
        state, _ = load_checkpoint(checkpoints, ours)
        reached = -1 if state is None else int(state["generation"])
        failures = 1 if reached > best else failures + 1
        best = max(best, reached)
        if failures > RESTARTS:
            raise RunError(f"{lost}, {failures} times without a newer checkpoint")
        print(f"torchpolicy: {lost}: starting all {count} again from generation {max(0, reached)}", file=sys.stderr)
    state, _ = load_checkpoint(checkpoints, ours)
    if state is not None:  # only the processes' copies have moved
        job.algorithm.load_state_dict(state["algorithm"])


def _check_owner(identity: str | None, state: Mapping[str, Any], path: Path) -> None:
    """See that a checkpoint belongs to the run."""
    check_identity(state, identity)


def _attempt(job: Job, run_dir: Path, count: int) -> str | None:
    """Run all processes until they end. Returns None if they did their work, otherwise how one was lost."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise ValueError(f"workers={count}: this system cannot fork processes; start them with torchrun instead")
    context, board = multiprocessing.get_context("fork"), Board(count)
    with socket.create_server(("127.0.0.1", 0), backlog=count) as server, ExitStack() as stack:
        lifeline, ours = os.pipe()  # closes when this process is gone, however it ends
        errors, theirs = context.Pipe(duplex=False)

        def work(rank: int) -> None:
            os.close(ours)
            _child(job, run_dir, Group.around, (server, rank, count, board), lifeline, theirs)

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
                with holding():
                    for process in processes:
                        process.start()
                patrol = Patrol(board, processes, job.environment.name, job.patience, job.step_timeout)
                return _watch(processes, errors, patrol)
            except (Stopped, RunError):
                _stop(processes)
                raise


def _child(
    job: Job, run_dir: Path, group_of: Callable[..., Group], place: tuple[Any, ...], lifeline: int, errors: Connection
) -> None:
    """Do the work of a forked process, in the group that `group_of` makes of its `place`, and end the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until the work begins
    threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
    code = 1
    try:
        group = group_of(*place)
        run_job(job, run_dir, group, signals=(signal.SIGTERM,))
        group.close()
        code = DONE
    except Stopped as stop:
        code = 128 + stop.number
    except LostProcessError as error:
        print(f"torchpolicy: {error}", file=sys.stderr)
        code = LOST
    except (RunError, ValueError) as error:
        errors.send(("RunError" if isinstance(error, RunError) else "ValueError", str(error)))
    except BaseException:
        errors.send(("RunError", traceback.format_exc()))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(processes: Sequence[BaseProcess], errors: Connection, patrol: Patrol) -> str | None:
    """Wait until all processes have done their work, or one has not; returns how one was lost, if one was."""
    running: dict[object, BaseProcess] = {process.sentinel: process for process in processes}
    while running:
        for sentinel in wait([process.sentinel for process in running.values()], PATROL_SECONDS):
            process = running.pop(sentinel)
            process.join()
            if errors.poll():
                kind, text = errors.recv()
                raise ValueError(text) if kind == "ValueError" else RunError(text)
            if process.exitcode == LOST:  # because of another one, which is the one to name
                time.sleep(0.2)
                if (silent := patrol.look(running.values(), given_up=True)) is not None:
                    return silent
            if process.exitcode != DONE:
                dead = [other for other in processes if other.exitcode not in (None, DONE, LOST)] or [process]
                early = ", before its work was done: does code of yours call os._exit?" if dead[0].exitcode == 0 else ""
                return f"process {dead[0].name.rpartition('-')[2]} was lost (exit code {dead[0].exitcode}{early})"
        if (silent := patrol.look(running.values())) is not None:
            return silent
    return None


def _stop(processes: Sequence[BaseProcess]) -> None:
    """Let the first process write a checkpoint. If it is waiting for the others, their end wakes it."""
    first, others = processes[0], processes[1:]
    if first.is_alive():
        first.terminate()
        first.join(GRACE_SECONDS / 5)
        _end(others)
        first.join(GRACE_SECONDS)


def _end(processes: Sequence[BaseProcess]) -> None:
    """End all processes."""
    for process in processes:
        if process.is_alive():
            process.kill()
    for process in processes:
        if process.pid is not None:
            process.join()


def _die_with(lifeline: int) -> None:
    """Wait until the parent's end of a pipe closes, which means that the parent is gone, and end this process."""
    os.read(lifeline, 1)
    os._exit(LOST)
