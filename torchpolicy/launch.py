"""A job in its folder, wherever it is to run: here, in workers, or in the processes of ``torchrun``."""

import json
import os
import signal
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from torchpolicy.config import CONFIG
from torchpolicy.foreign import no_exit
from torchpolicy.hints import in_python, to_resume
from torchpolicy.job import Job
from torchpolicy.memory import check_memory
from torchpolicy.processes import Group, Stopped, Terminated
from torchpolicy.runs import create_run_folder, locked, open_run, versions
from torchpolicy.session import run_job
from torchpolicy.workers import run_workers


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after a checkpoint. A notebook shows what it says, and none of the frames that it came through."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows."""
        return [f"KeyboardInterrupt: {self}"]


@no_exit()
def run(job: Job, log_dir: str | Path, run_dir: str | Path | None, workers: int) -> Path:
    """Run a job in its folder, new or begun, until its end; returns the folder.

    Raises:
        ValueError: If the folder cannot be had, or holds another run.
        RunError: If the run cannot go on.
        KeyboardInterrupt, Terminated: By a signal, after a checkpoint.
    """
    with ExitStack() as stack:
        group = Group.of_torchrun()
        stack.callback(group.close)
        if workers > 1 and group.size == 1 and (place := job.policy.device).type != "cpu":
            raise ValueError(f"workers={workers}: forked processes cannot use {place}; start them with torchrun")
        here = workers if group.size == 1 else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        check_memory(job.memory, here, job.policy.device)
        _compare(job, group)
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
            if workers > 1 and group.size == 1:
                run_workers(job, folder, workers)
            else:
                run_job(job, folder, group)
        except Stopped as stop:
            gone = f"{folder} was deleted while the run went on"
            again = f"to go on: {to_resume(folder, job.code)}" if (folder / CONFIG).exists() else gone
            text, interrupted = f"stopped; {again}", stop.number == signal.SIGINT
            if group.rank == 0 and not (interrupted and in_python()):  # where the exception itself is shown
                print(text, file=sys.stderr)
            raise (Interrupted(text) if interrupted else Terminated(128 + stop.number)) from None
    return folder


def _compare(job: Job, group: Group) -> None:
    """See that all processes were asked for the same, and would compute it alike."""
    texts = group.gather(json.dumps({**job.config, **versions(job.config["device"])}, default=str, sort_keys=True))
    for rank, text in enumerate(texts):
        mine, theirs = json.loads(texts[0]), json.loads(text)
        odd = [key for key in mine if mine[key] != theirs.get(key)]
        if odd:
            raise ValueError(f"process {rank} would not run what process 0 runs: they differ in {', '.join(odd)}")
