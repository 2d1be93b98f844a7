"""Training once for each of several seeds, side by side."""

import inspect
import os
import pickle
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from torchpolicy.api import job_of, result_of, train
from torchpolicy.base.checks import MOST_PROCESSES, check_count, check_seed
from torchpolicy.base.errors import RunError
from torchpolicy.base.launcher import is_launched
from torchpolicy.base.memory import check_memory
from torchpolicy.base.processes import usable_cores
from torchpolicy.base.signals import Stopped
from torchpolicy.envs.make import EnvFactory
from torchpolicy.many.child import pack
from torchpolicy.many.display import Display
from torchpolicy.many.group import Seeds, open_seeds
from torchpolicy.many.side_by_side import side_by_side
from torchpolicy.output.saved_policy import load_evaluation
from torchpolicy.output.writers.jsonl import STEPS, read_rows
from torchpolicy.runs.algorithms import Algorithm
from torchpolicy.runs.job import Job
from torchpolicy.runs.launch import exception_of
from torchpolicy.runs.result import Result
from torchpolicy.runs.session import first_lines


class SeedsError(RunError):
    """Some seeds failed, and the others are finished.

    Attributes:
        run_dir: The folder that holds the run folders of all seeds.
        failures: The reason, for each seed that failed.
        results: The results of the others, in the order of seeds.
    """

    def __init__(self, run_dir: Path, failures: Mapping[int, str], results: list[Result]) -> None:
        reasons = "; ".join(f"seed {seed}: {reason}" for seed, reason in failures.items())
        count = f"{len(failures)} of {len(failures) + len(results)} seeds"
        super().__init__(f"{count} failed in {run_dir}, and the same command tries them again: {reasons}")
        self.run_dir, self.failures, self.results = run_dir, failures, results


def train_seeds(
    env: str | EnvFactory,
    algorithm: str | Algorithm,
    *,
    seeds: Iterable[int],
    jobs: int | None = None,
    log_dir: str | Path = "runs",
    run_dir: str | Path | None = None,
    **settings: Any,
) -> list[Result]:
    """Train once for each seed, several runs at a time, each in a process of its own.

    Every run has the bits of :func:`train` with its seed alone. If this is interrupted, the same call goes on where it
    was: finished seeds are not run again, and the others go on from their checkpoints.

    Args:
        env: Environment, as :func:`train` takes it. A callable has to be defined in a module that other processes can
            import, not in the script or notebook that is running.
        algorithm: Algorithm, as :func:`train` takes it.
        seeds: Seeds, each of which gets a run.
        jobs: Number of runs at a time. None means one for each core, divided by the `workers` of a run.
        log_dir: Folder in which the group's folder is made, ``<env>/<algorithm>-seeds-<time>``.
        run_dir: Folder of the group, instead of a new one. Each seed has its run folder in there, such as ``s0``.
        **settings: All other arguments of :func:`train`, except `seed`.

    Returns:
        The results, in the order of `seeds`.

    Raises:
        ValueError: If an argument is out of range or cannot be taken to another process, or the folder holds something
            else.
        SeedsError: If seeds failed, after all others have finished. The same call tries them again.
        KeyboardInterrupt, Terminated: If a signal arrived, after every run has written a checkpoint.
    """
    chosen = check_seeds(seeds, settings)
    arguments = {"env": env, "algorithm": algorithm, **settings}
    job = first_job(pickle.loads(pack(arguments)), chosen[0])  # of copies, because it moves the policy to its device
    workers = int(settings.get("workers", 1))
    at_once = max(1, usable_cores() // workers) if jobs is None else check_count("jobs", jobs, at_least=1)
    at_once = min(at_once, len(chosen))
    check_memory(job.memory, at_once * workers, job.policy.device)
    with open_seeds(job, chosen, log_dir, run_dir) as group:
        left = [seed for seed in chosen if seed not in group.finished]
        runs = {seed: pack({**arguments, "seed": seed, "run_dir": str(group.run_dir(seed))}) for seed in left}
        failures = _train(runs, min(at_once, max(1, len(left))), _Audience(group, job, chosen, left))
        finished = [seed for seed in chosen if seed not in failures]
        results = [_result(job, group.run_dir(seed), env) for seed in finished]
    if failures:
        raise SeedsError(group.folder, {seed: failures[seed] for seed in chosen if seed in failures}, results)
    return results


def seeds_in_words(text: str) -> list[int]:
    """Seeds as a command takes them: ``0-9``, ``0,3,5`` or ``0-3,7``.

    Raises:
        ValueError: If the text has another form.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,19})(?:-(\d{1,19}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MOST_PROCESSES:
            raise ValueError(f"--seeds takes whole numbers and ranges, such as 0-9 or 0,3,5 or 0-3,7, got {text}")
        found += range(first, last + 1)
    return found


def check_seeds(seeds: Iterable[int], settings: Mapping[str, Any]) -> list[int]:
    """The seeds as whole numbers."""
    if "seed" in settings:
        raise ValueError("seed and seeds are two ways to say the same: leave one of them out")
    if is_launched(os.environ):
        raise ValueError("several seeds are trained in processes of their own: start them without torchrun")
    chosen = [check_seed(seed) for seed in seeds]
    twice = sorted({seed for seed in chosen if chosen.count(seed) > 1})
    if twice or not chosen:
        raise ValueError(f"seed {twice[0]} is given twice" if twice else "seeds must name one seed at least")
    return chosen


def first_job(arguments: Mapping[str, Any], seed: int) -> Job:
    """The run of one seed, put together, so that mistakes are found before anything is started."""
    bound = inspect.signature(train).bind(**arguments, seed=seed)
    bound.apply_defaults()
    return job_of(bound.arguments)


def _train(runs: Mapping[int, bytes], jobs: int, audience: "_Audience") -> dict[int, str]:
    """Train some seeds; returns those that failed, with the reasons."""
    audience.open(jobs)
    try:
        return side_by_side(runs, jobs, audience)
    except Stopped as stop:
        text = "stopped; the same command goes on from here"
        audience.close()
        print(text, file=sys.stderr)
        raise exception_of(stop, text) from None
    finally:
        audience.close()


class _Audience(Display):
    """Shows how the seeds of a group go on, and writes down which of them are finished.

    Args:
        group: The group.
        job: The run of one of its seeds.
        seeds: All seeds that are asked for.
        left: Those of them that are not finished.
    """

    def __init__(self, group: Seeds, job: Job, seeds: Sequence[int], left: Sequence[int]) -> None:
        self._group, self._first_lines = group, list(first_lines(job, resumed=False))
        super().__init__("seed", len(seeds), len(seeds) - len(left), self._first_lines)

    def open(self, jobs: int) -> None:
        """Tell what is about to begin."""
        done = f", {self.done} of which are finished" if self.done else ""
        several = f"{self.count} seeds, {jobs} at a time" if self.count > 1 else "1 seed"
        print(f"{several}, in {self._group.folder}{done}", *self._first_lines, sep="\n", file=sys.stderr)

    def ended(self, key: int, failure: str | None) -> None:
        if failure is None:
            self._group.finish(key)
        super().ended(key, failure)

    def result(self, key: int) -> str:
        run_dir = self._group.run_dir(key)
        *_, (_, last) = read_rows(run_dir, inf)
        score = load_evaluation(run_dir).mean
        return f"test {score:.4g} after {last[STEPS]:,.0f} env steps and {last['time/elapsed']:,.1f} s"


def _result(job: Job, run_dir: Path, env: str | EnvFactory) -> Result:
    """The result of a seed, with a policy of its own."""
    return result_of(replace(job, policy=deepcopy(job.policy)), run_dir, env)
