"""Draw the score around a run's policy, in a plane through its weights."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from torchpolicy.cli.base import RunOptions, as_options, parse, parse_pairs
from torchpolicy.runs.landscape import landscape


@as_options
class LandscapeOptions(RunOptions):
    """Draw the mean return around the policy of a run, along the two main directions of its search.

    For CMA-ES and xNES these are the directions in which the search spreads most, for other searches two draws from its
    std, and for learners random ones. One unit is the length of a search's first noise by default, so that pictures of
    different runs can be compared.

    For example: torchpolicy landscape runs/CartPole-v1/cem-s0-20261122-101420 -o landscape.png
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("landscape.png")
    """The picture to write. The ending of its name determines the format: png, pdf or svg."""
    points: int = 21
    """Points along each side of the picture, an odd number."""
    episodes: int = 5
    """Episodes for each point."""
    reach: float = 1.0
    """Units from the policy to each side of the picture."""


def run(arguments: list[str]) -> None:
    """``torchpolicy landscape RUN …``."""
    options = parse(LandscapeOptions, "torchpolicy landscape", arguments)
    code: dict[str, Any] = {"env": options.env, "policy": options.own_policy()}
    if options.env_args is not None:
        code["env_args"] = parse_pairs("--env-args", options.env_args)
    grid = {name: getattr(options, name) for name in ("points", "episodes", "reach", "seed")}
    print(landscape(options.run, options.out, **grid, **code))
