"""One process's part in a run, from the newest checkpoint to the end."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from torchpolicy.base.device import deterministic
from torchpolicy.base.errors import CheckpointError, RunError
from torchpolicy.base.memory import enough_memory
from torchpolicy.base.processes import LOST, Group, LostProcessError, one_thread
from torchpolicy.base.signals import Stopped, stoppable
from torchpolicy.base.user_code import no_exit
from torchpolicy.base.vigil import Vigil
from torchpolicy.envs.make import is_own_code
from torchpolicy.output.blueprint import describe
from torchpolicy.output.config import CONFIG
from torchpolicy.output.film import Filming
from torchpolicy.output.report import Report
from torchpolicy.output.saved_policy import save_policy, saved_generation
from torchpolicy.output.writers.jsonl import NAME as METRICS
from torchpolicy.output.writers.make import writer_classes
from torchpolicy.rollout.make import make_rollout
from torchpolicy.rollout.slots import Rollout
from torchpolicy.runs.folder import place_of, record_changes
from torchpolicy.runs.job import Job
from torchpolicy.runs.resumption import resume
from torchpolicy.training.plan import in_words
from torchpolicy.training.trainer import Trainer

WORTH_TELLING = 2**29
"""Bytes of memory from which on the user is told how much a run will take."""


@enough_memory()
@no_exit()
def run_job(job: Job, run_dir: Path, group: Group, signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> None:
    """Train in this process until the end of the job, from the newest checkpoint in its folder if there is one.

    The final policy and its test score are saved in the folder. If the job is finished already, this only says so.

    Args:
        job: The run, put together and checked.
        run_dir: The run's folder.
        group: The processes that train together; each of them calls this function.
        signals: Signals that stop the run, after a checkpoint.

    Raises:
        RunError: If the run cannot go on, its last checkpoint could not be saved, or its folder was deleted.
        LostProcessError: If another process was lost, or a step of the environment took too long in this one.
        Stopped: If one of the signals arrived.
    """
    vigil = _vigil(job, group)
    try:
        with one_thread(), deterministic(job.policy.device), stoppable(signals), vigil:
            _run(job, run_dir, group)
    except Stopped:
        if not vigil.expired:
            raise
        raise (RunError if group.size == 1 else LostProcessError)(vigil.expired) from None


def _vigil(job: Job, group: Group) -> Vigil:
    """The watch over steps of the environment that do not end."""
    who = f"process {group.rank}: " if group.size > 1 else ""
    return Vigil(group.activity, job.environment.name, who, job.step_timeout, LOST if group.size > 1 else 2)


def _run(job: Job, run_dir: Path, group: Group) -> None:
    """Train, test and save."""
    place = place_of(run_dir)
    with _rollout(job, group) as rollout:
        trainer = _trainer(job, rollout, run_dir)
        resumed, remarks = _resume(trainer, job, run_dir)
        if resumed and trainer.reasons and _is_saved(run_dir, trainer.generation, remarks):
            if group.rank == 0:
                print(f"{run_dir} is finished: {in_words(trainer.reasons)}", file=sys.stderr)
            return
        if resumed and group.rank == 0:
            record_changes(run_dir, job.config)
        with _reporting(trainer, job, run_dir, resumed=resumed):
            for line in [*first_lines(job, resumed=resumed), *remarks]:
                trainer.report.note(line)
            written = [name for name in (CONFIG, METRICS) if (run_dir / name).exists()]
            trainer.run()
            _test_and_save(trainer, job, run_dir, place)
            _check_files(trainer, run_dir, written)


def _rollout(job: Job, group: Group) -> Rollout:
    return make_rollout(
        job.environment, job.policy, slots=job.slots, group=group, compile=job.compile, noise_rank=job.noise_rank
    )


def _trainer(job: Job, rollout: Rollout, run_dir: Path) -> Trainer:
    about = {"identity": job.identity, "description": describe(job.policy)}
    return Trainer(job.algorithm, job.policy, rollout, job.plan, run_dir=run_dir, callbacks=job.callbacks, about=about)


def _resume(trainer: Trainer, job: Job, run_dir: Path) -> tuple[bool, list[str]]:
    """Go on from the newest checkpoint; whether there was one, and remarks about those that were refused.

    Raises:
        RunError: If the processes do not see the same checkpoints.
    """
    resumed, refused = resume(trainer, run_dir, job.identity)
    seen = trainer.rollout.group.gather(str(resumed and trainer.generation))
    if len(set(seen)) > 1:
        raise RunError(f"the processes do not see the same checkpoints in {run_dir}: is the folder shared?")
    return resumed, [f"checkpoint refused, going on from the one before: {reason}" for reason in refused]


def _is_saved(run_dir: Path, generation: int, remarks: list[str]) -> bool:
    """Whether the final policy of a finished run is saved; a remark is added if it is damaged."""
    try:
        return saved_generation(run_dir) == generation
    except CheckpointError as error:
        remarks.append(f"the policy is tested and saved again: {error}")
        return False


@contextmanager
def _reporting(trainer: Trainer, job: Job, run_dir: Path, *, resumed: bool) -> Iterator[None]:
    """Give the trainer of the first process its writers, and pictures of the policy, for the time of the run."""
    if trainer.rollout.group.rank != 0:
        yield
        return
    with ExitStack() as stack:
        filming = _filming(job)
        if filming is not None:
            stack.callback(filming.close)
        trainer.report = Report(filming)
        stack.callback(trainer.report.close)
        trainer.report.open([*writer_classes(), *job.writers], run_dir, trainer.env_steps if resumed else None)
        yield


def _filming(job: Job) -> Filming | None:
    """Draws the policy in one of Gymnasium's environments; None for the user's own, which may not be able to draw."""
    config = job.config
    if is_own_code(config["env"]):
        return None
    return Filming(config["env"], config["env_args"], config["max_episode_steps"], config["seed"])


def first_lines(job: Job, *, resumed: bool) -> Iterator[str]:
    """The lines that the user is told at the start."""
    yield from job.notes
    if not resumed and job.config["preset"]:
        yield f"preset {job.config['preset']}"
    if not resumed and job.untuned:
        yield job.untuned
    if job.memory >= WORTH_TELLING:
        yield f"this will take about {job.memory / 2**30:.1f} GiB of memory"
    if job.compile:
        yield "compiling the loop, which takes some 5 to 60 s the first time, and some 2 s from then on"


def _test_and_save(trainer: Trainer, job: Job, run_dir: Path, place: tuple[int, int] | None) -> None:
    """Test the final policy and save it.

    Raises:
        RunError: If the folder is no longer the one at `place`.
    """
    evaluation = trainer.test()
    deleted = place is None or place_of(run_dir) != place
    if trainer.rollout.group.rank == 0 and not deleted:
        save_policy(run_dir, job.policy, trainer.generation, evaluation, job.identity)
    trainer.rollout.group.gather("saved")
    if deleted:
        raise RunError(
            f"{run_dir} was deleted while the run went on: its configuration, metrics and checkpoints are lost, "
            f"and the policy of generation {trainer.generation}, which scored {evaluation}, is not saved"
        )


def _check_files(trainer: Trainer, run_dir: Path, written: Sequence[str]) -> None:
    """See that the files of a run are still there, and that its last checkpoint was written.

    Raises:
        RunError: If not.
    """
    lost = [name for name in written if not (run_dir / name).exists()]
    if lost:
        raise RunError(f"{run_dir}: {' and '.join(lost)} was deleted while the run went on; the policy is saved")
    if trainer.save_error is not None:
        raise RunError(f"the last checkpoint could not be saved: {trainer.save_error}")
