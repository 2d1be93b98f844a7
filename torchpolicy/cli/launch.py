"""Train on several hosts that come and go: type the same command on each of them."""

from pathlib import Path
from typing import Annotated

import tyro

from torchpolicy.base.checks import check_count
from torchpolicy.cli.base import as_options, parse
from torchpolicy.runs.elastic import Place, launch

COMMANDS = ("train", "resume")
"""Commands that can be launched, beside a script."""


@as_options
class LaunchOptions:
    """Train on several hosts that come and go: type the same command on each of them.

    The hosts share a folder, and --run-dir names the run's folder in it. The first host has to stay. Any other one may
    leave, fall silent, come back or join late, and the run ends in the same bits.

    For example, on each host: torchpolicy launch --first node1 train cem --env LunarLander-v3 --run-dir shared/run
    """

    first: str
    """Name or address of the first host, where all meet. It has to stay."""
    port: int = 29400
    """A port of the first host that is free and that the others reach. Processes also connect on other ports."""
    hosts: Annotated[str, tyro.conf.arg(metavar="LEAST:MOST")] = "1:16"
    """Numbers of hosts with which the run goes on, such as 1:4, or 2 for exactly two."""
    processes: int = 1
    """Processes on this host."""
    restarts: int = 100
    """How often the processes are started again after one of them was lost."""
    address: str | None = None
    """Own address for the other hosts. If not set, it is found by the way to the first host."""
    wait: float = 600.0
    """Seconds for which the first host may be away before this one gives up."""


def run(arguments: list[str]) -> None:
    """``torchpolicy launch --first HOST … train …``."""
    place = next((at for at, word in enumerate(arguments) if word in COMMANDS or word.endswith(".py")), len(arguments))
    options = parse(LaunchOptions, "torchpolicy launch", arguments[:place])
    words = arguments[place:]
    if not words:
        raise ValueError(f"launch takes a command at its end: {', '.join(COMMANDS)}, or a script of Python")
    if words[0] == "train" and not any(word.partition("=")[0] in ("--run-dir", "--run_dir") for word in words):
        raise ValueError("launch needs --run-dir: a folder that all hosts share, so that a started run is found again")
    least, most = _numbers(options.hosts)
    for name, least_value in (("processes", 1), ("restarts", 0), ("port", 1)):
        check_count(name, getattr(options, name), at_least=least_value)
    command = words if words[0].endswith(".py") else ["-m", "torchpolicy", *words]
    if words[0].endswith(".py") and not Path(words[0]).is_file():
        raise ValueError(f"there is no script {words[0]}")
    of_this_host = Place(
        options.first, options.port, least, most, options.processes, options.restarts, options.address, options.wait
    )
    code = launch(command, of_this_host)
    if code:
        raise SystemExit(code)


def _numbers(hosts: str) -> tuple[int, int]:
    """The least and the largest number of hosts."""
    least, _, most = hosts.partition(":")
    most = most or least
    if not (least.isdigit() and most.isdigit() and 1 <= int(least) <= int(most)):
        raise ValueError(f"--hosts takes LEAST:MOST, such as 1:4, or one number, got {hosts}")
    return int(least), int(most)
