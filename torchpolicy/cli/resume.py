"""Go on with a run from its newest checkpoint."""

from dataclasses import make_dataclass
from typing import Annotated, Any

import tyro

from torchpolicy.api import resume
from torchpolicy.cli.base import PolicyOptions, as_options, parse, parse_pairs, print_result, settings_options
from torchpolicy.runs.settings import MAY_CHANGE

ABOUT = """Go on with a run from its newest checkpoint, as if it had never stopped.

A run that is finished is left as it is, unless it is given a larger budget. Options that are left out keep the run's
values.

For example: torchpolicy resume runs/LunarLander-v3/cem-s0-20261122-101420 --total-steps 5000000
"""


@as_options
class ResumeOptions(PolicyOptions):
    """The run, and code of your own that it needs."""

    workers: int = 1
    """Processes on this machine. Any number gives the same result."""
    env: str | None = None
    """The run's environment, as pkg.mod:callable. Required if it was your own code."""
    env_args: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="NAME=VALUE ...")] = None
    """Keyword arguments of the run's environment. Required where they were code of your own."""


def run(arguments: list[str]) -> None:
    """``torchpolicy resume RUN …``."""
    changes = settings_options(MAY_CHANGE, open_by_default=True)
    kind: Any = make_dataclass("Resume", changes, bases=(ResumeOptions,), namespace={"__doc__": ABOUT}, kw_only=True)
    options = parse(as_options(kind), "torchpolicy resume", arguments)
    given = {name: getattr(options, name) for name in MAY_CHANGE if getattr(options, name) is not None}
    given |= {} if options.env_args is None else {"env_args": parse_pairs("--env-args", options.env_args)}
    print_result(resume(options.run, env=options.env, policy=options.own_policy(), workers=options.workers, **given))
