"""The command ``torchpolicy``, with one file for each subcommand.

The first line of a file's docstring is the subcommand's line in the help, and its function ``run(arguments)`` runs it.
"""

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from torchpolicy.base.checks import suggestion
from torchpolicy.base.discovery import names
from torchpolicy.base.errors import RunError
from torchpolicy.base.launcher import VERDICT, is_elastic
from torchpolicy.base.processes import LOST, LostProcessError
from torchpolicy.base.version import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code: 0 for success, 2 for an error, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)  # Windows has no such signal
    except (ValueError, RunError, OSError) as error:
        print(f"torchpolicy: {error}", file=sys.stderr)
        if os.environ.get(VERDICT) and arguments[:1] != ["launch"]:
            Path(os.environ[VERDICT]).write_text("2")
        return 2
    except LostProcessError as error:
        again = "; torchrun starts all processes again from the last checkpoint" if is_elastic(os.environ) else ""
        print(f"torchpolicy: {error}{again}", file=sys.stderr)
        return LOST
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"torchpolicy {__version__}")
        return 0
    command, rest = arguments[0], arguments[1:]
    known = names("cli")
    if command not in known:
        raise ValueError(f"unknown command {command!r}{suggestion(command, known)} (known: {', '.join(known)})")
    importlib.import_module(f"torchpolicy.cli.{command}").run(rest)
    return 0


def _help() -> str:
    lines = [f"torchpolicy {__version__}: deep policy search in PyTorch", "", "commands:"]
    for command in names("cli"):
        module = importlib.import_module(f"torchpolicy.cli.{command}")
        lines.append(f"  {command:10} {(module.__doc__ or '').splitlines()[0]}")
    lines += [
        "",
        "For the options of a command, type torchpolicy COMMAND --help. To begin, type:",
        "",
        "  torchpolicy train cem --env CartPole-v1",
    ]
    return "\n".join(lines)
