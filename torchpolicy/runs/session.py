"""One process's part in a run, from the newest checkpoint to the end."""

import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torchpolicy.output.blueprint import describe
from torchpolicy.output.writers.make import writer_classes
from torchpolicy.base.errors import CheckpointError
from torchpolicy.output.config import CONFIG
from torchpolicy.base.device import deterministic
from torchpolicy.envs.make import is_own_code
from torchpolicy.output.film import Filming
from torchpolicy.runs.job import Job
from torchpolicy.base.memory import enough_memory
from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import Group, one_thread, stoppable
from torchpolicy.output.report import Report
from torchpolicy.runs.resumption import resume
from torchpolicy.runs.folder import place_of
from torchpolicy.output.saved_policy import save_policy, saved_generation
from torchpolicy.rollout.make import make_rollout
from torchpolicy.training.trainer import Trainer
from torchpolicy.output.writers.jsonl import NAME as METRICS

WORTH_TELLING = 2**29
"""Bytes of memory."""


@enough_memory()
def run_job(job: Job, run_dir: Path, group: Group, signals: Sequence[int] = (signal.SIGINT, signal.SIGTERM)) -> None:
    """Train in this process until the end of the job, from the newest checkpoint in its folder if there is one.

    Leaves the final policy and its test score in the folder. A finished job says so and changes nothing.

    Args:
        job: What to do.
        run_dir: The run's folder.
        group: The processes that do it together; each calls this.
        signals: Those that stop it, after a checkpoint.

    Raises:
        RunError: If the run cannot go on, its last checkpoint could not be saved, or its folder was deleted.
        Stopped: By a signal.
    """
    place = place_of(run_dir)
    with one_thread(), deterministic(job.policy.device), stoppable(signals), ExitStack() as stack:
        rollout = make_rollout(
            job.environment,
            job.policy,
            slots=job.slots,
            group=group,
            compile=job.compile,
            noise_rank=job.noise_rank,
        )
        stack.enter_context(rollout)
        about = {"identity": job.identity, "description": describe(job.policy)}
        trainer = Trainer(
            job.algorithm, job.policy, rollout, job.plan, run_dir=run_dir, callbacks=job.callbacks, about=about
        )
        resumed, refused = resume(trainer, run_dir, job.identity)
        if len(set(group.gather(str(resumed and trainer.generation)))) > 1:
            raise RunError(f"the processes do not see the same checkpoints in {run_dir}: is the folder shared?")
        refused = [f"checkpoint refused, going on from the one before: {reason}" for reason in refused]
        if resumed and trainer.finished:
            try:
                saved = saved_generation(run_dir)
            except CheckpointError as error:
                saved = None
                refused.append(f"the policy is tested and saved again: {error}")
            if saved == trainer.generation:
                if group.rank == 0:
                    ends = {"its target is reached": trainer.reached, "its score has settled": trainer.settled}
                    ends["a callback ended it"] = trainer.ended
                    why = next((text for text, it_is in ends.items() if it_is), "its budget is used up")
                    print(f"{run_dir} is finished: {why}", file=sys.stderr)
                return
        if group.rank == 0:
            filming = _filming(job.config)
            if filming is not None:
                stack.callback(filming.close)
            trainer.report = Report(filming)
            stack.callback(trainer.report.close)
            trainer.report.open(writer_classes(), run_dir, trainer.env_steps if resumed else None)
        for text in job.notes:
            trainer.report.note(text)
        if not resumed and job.config["preset"]:
            trainer.report.note(f"preset {job.config['preset']}")
        if job.memory >= WORTH_TELLING:
            trainer.report.note(f"this will take about {job.memory / 2**30:.1f} GiB of memory")
        if job.compile:
            trainer.report.note("compiling the loop, which takes some 5 to 60 s the first time")
        for reason in refused:
            trainer.report.note(reason)
        written = [name for name in (CONFIG, METRICS) if (run_dir / name).exists()]
        trainer.run()
        evaluation = trainer.test()
        deleted = place is None or place_of(run_dir) != place
        if group.rank == 0 and not deleted:
            save_policy(run_dir, job.policy, trainer.generation, evaluation, job.identity)
        group.gather("saved")
        if deleted:
            raise RunError(
                f"{run_dir} was deleted while the run went on: its configuration, metrics and checkpoints are lost, "
                f"and the policy of generation {trainer.generation}, which scored {evaluation}, is not saved"
            )
        lost = [name for name in written if not (run_dir / name).exists()]
        if lost:
            raise RunError(f"{run_dir}: {' and '.join(lost)} was deleted while the run went on; the policy is saved")
        if trainer.save_error is not None:
            raise RunError(f"the last checkpoint could not be saved: {trainer.save_error}")


def _filming(config: Mapping[str, Any]) -> Filming | None:
    """What draws the policy in an environment of Gymnasium's; code of the user's own may not know how to."""
    if is_own_code(config["env"]):
        return None
    return Filming(config["env"], config["env_args"], config["max_episode_steps"], config["seed"])
