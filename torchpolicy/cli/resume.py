"""Go on with a run from its newest checkpoint."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.api import resume
from torchpolicy.cli.base import as_options, parse, parse_pairs, print_result


@as_options
class ResumeOptions:
    """Go on with a run from its newest checkpoint, as if it had never stopped.

    A run that is finished is left as it is, unless it is given a larger budget.

    For example: torchpolicy resume runs/LunarLander-v3/cem-s0-20261122-101420 --total-steps 5000000
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    workers: int = 1
    """Processes on this machine. Any number gives the same result."""
    target: str | None = None
    """Held-out score to stop at, a number or none, in place of the run's."""
    generations: int | None = None
    """Budget of generations, in place of the run's."""
    total_steps: int | None = None
    """Budget of environment steps, in place of the run's."""
    seconds: float | None = None
    """Budget of wall time, in place of the run's."""
    tolerance: float | None = None
    """Within which the held-out scores stay when it is time to stop, in place of the run's."""
    env: str | None = None
    """pkg.mod:callable, for a run in an environment of your own."""
    env_args: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME=VALUE ...")] = None
    """Keywords for the environment, for a run where they name code of your own."""
    policy: str | None = None
    """pkg.mod:factory, for a run of a policy of your own."""


def run(arguments: list[str]) -> None:
    """``torchpolicy resume RUN …``."""
    options = parse(ResumeOptions, "torchpolicy resume", arguments)
    budget = {name: getattr(options, name) for name in ("target", "generations", "total_steps", "seconds", "tolerance")}
    given = {name: value for name, value in budget.items() if value is not None}
    given |= {} if options.env_args is None else {"env_args": parse_pairs("--env-args", options.env_args)}
    print_result(resume(options.run, env=options.env, policy=options.policy, workers=options.workers, **given))
