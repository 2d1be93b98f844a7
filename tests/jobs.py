"""A job as `train` puts it together, without running it."""

from typing import Any

import pytest
from worlds import Guess

import torchpolicy as tp
from torchpolicy.runs.job import Job


class Caught(Exception):  # noqa: N818
    """In place of a run."""


def job_of(env: Any = Guess, **arguments: Any) -> Job:
    """The job that :func:`torchpolicy.train` would run."""
    jobs: list[Job] = []

    def catch(job: Job, *_: object) -> None:
        jobs.append(job)
        raise Caught

    settings = {"generations": 3, "population": 4, "eval_episodes": 2, "seed": 5, **arguments}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchpolicy.api.run", catch)
        with pytest.raises(Caught):
            tp.train(env, "cem", **settings)
    return jobs[0]
