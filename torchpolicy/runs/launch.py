"""Starting a job in its folder: in this process, in workers, or in the processes of a launcher such as ``torchrun``."""

import json
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from torchpolicy.base.launcher import is_elastic, is_launched, this_host
from torchpolicy.base.memory import check_memory
from torchpolicy.base.processes import Group
from torchpolicy.base.signals import Stopped, Terminated
from torchpolicy.base.user_code import no_exit
from torchpolicy.output.config import CONFIG
from torchpolicy.runs.folder import create_run_folder, locked, open_run, versions
from torchpolicy.runs.hints import in_python, to_resume
from torchpolicy.runs.job import Job
from torchpolicy.runs.session import run_job
from torchpolicy.runs.workers import run_workers


def exception_of(stop: Stopped, text: str) -> BaseException:
    """What a caller gets of a signal; after Ctrl-C a KeyboardInterrupt, which a notebook shows without a traceback.

    That is no class of its own, because Python ends with the exit code of an interrupted program for this one alone.
    """
    if stop.number != signal.SIGINT:
        return Terminated(128 + stop.number)
    error = KeyboardInterrupt(text)
    error._render_traceback_ = lambda: [f"KeyboardInterrupt: {text}"]  # type: ignore[attr-defined]  # for IPython
    return error


@no_exit()
def run(job: Job, log_dir: str | Path, run_dir: str | Path | None, workers: int) -> Path:
    """Run a job in its folder, which may be new or hold a run that was begun, until its end.

    Args:
        job: The run, put together and checked.
        log_dir: Where a new folder is made if `run_dir` is None.
        run_dir: The run's folder.
        workers: Number of processes on this machine. Under a launcher such as ``torchrun``, its processes are used.

    Returns:
        The run's folder.

    Raises:
        ValueError: If the folder cannot be made or used, holds another run, or there is not enough memory.
        RunError: If the run cannot go on.
        KeyboardInterrupt, Terminated: If a signal arrived, after a checkpoint was written.
    """
    with ExitStack() as stack:
        group = Group.of_launcher(job.patience)
        stack.callback(group.close)
        forks = workers > 1 and group.size == 1
        if forks and (place := job.policy.device).type != "cpu":
            raise ValueError(f"workers={workers}: forked processes cannot use {place}; start them with torchrun")
        if forks and job.environment.is_object:
            kind = job.environment.name
            raise ValueError(f"workers={workers}: processes cannot share one {kind}; give a callable that makes one")
        here = workers if group.size == 1 else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        check_memory(job.memory, here, job.policy.device)
        _compare(job, group)
        if is_launched(os.environ):
            _tell_hosts(group)
        folder, identity = Path(), None
        if group.rank == 0:
            name, seed = job.config["algorithm"], job.plan.seed
            folder = create_run_folder(log_dir, run_dir, job.environment.name, name, seed)
            stack.enter_context(locked(folder))
            first = {"algorithm": job.algorithm.state_dict(), "policy": job.policy.state_dict()}
            identity = open_run(folder, job.config, first)
        folder = Path(group.gather(str(folder))[0])
        job = replace(job, identity=group.gather(identity or "")[0] or None)
        try:
            if forks:
                job.environment.release()
                run_workers(job, folder, workers)
            else:
                run_job(job, folder, group)
        except Stopped as stop:
            raise _stopped(stop, folder, job, group) from None
        if group.speaks and group.rank != 0:
            print(f"torchpolicy: the run in {folder} has ended: trained, scored and saved", file=sys.stderr)
    return folder


def _tell_hosts(group: Group) -> None:
    """Tell the user of each host who has joined."""
    own = this_host()
    ranks: dict[str, list[str]] = {}
    for rank, host in enumerate(group.introduce(own)):
        ranks.setdefault(host, []).append(str(rank))
    if group.rank == 0:
        hosts = ", ".join(f"{host} ({', '.join(numbers)})" for host, numbers in ranks.items())
        count = f"{len(ranks)} host{'s' if len(ranks) > 1 else ''}"
        print(f"torchpolicy: {group.size} processes on {count}: {hosts}", file=sys.stderr)
    elif group.speaks:
        numbers = ", ".join(ranks[own])
        print(f"torchpolicy: {own} has joined: processes {numbers} of {group.size}", file=sys.stderr)


def _stopped(stop: Stopped, folder: Path, job: Job, group: Group) -> BaseException:
    """The exception with which a run ends after a signal. It tells, or has told, how to go on."""
    gone = f"{folder} was deleted while the run went on"
    again = f"to go on: {to_resume(folder, job.code)}" if (folder / CONFIG).exists() else gone
    if is_elastic(os.environ):
        again = "torchrun starts the processes again if it stopped them because a host has joined or left"
    elif group.size > 1 and is_launched(os.environ):
        again = "the same commands go on from the last checkpoint"
    text = f"stopped; {again}"
    if group.rank == 0 and not (stop.number == signal.SIGINT and in_python()):  # there the exception itself is shown
        print(text, file=sys.stderr)
    return exception_of(stop, text)


def _compare(job: Job, group: Group) -> None:
    """See that all processes were asked for the same run, and have the same versions to compute it with."""
    texts = group.gather(json.dumps({**job.config, **versions(job.config["device"])}, default=str, sort_keys=True))
    for rank, text in enumerate(texts):
        mine, theirs = json.loads(texts[0]), json.loads(text)
        odd = [key for key in mine if mine[key] != theirs.get(key)]
        if odd:
            raise ValueError(f"process {rank} would not run what process 0 runs: they differ in {', '.join(odd)}")
