"""One host's part in a run on several hosts: ``torchrun`` with all that it needs, started again after a lost link."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torchpolicy.base.launcher import VERDICT, is_here, own_address, this_host
from torchpolicy.base.signals import Stopped, stoppable

SETTINGS = {
    "last_call_timeout": 3,  # seconds that a group waits for more hosts before it begins; torchrun's own are 30
    "keep_alive_interval": 3,
    "keep_alive_max_attempt": 5,  # a silent host is given up after 15 s
    "join_timeout": 600,
}
"""How the launchers of all hosts find each other, in seconds."""

ENVIRON = {
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # otherwise a host that joins late ends the run of all others
    "OMP_NUM_THREADS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "LOGLEVEL": "ERROR",
}
"""What every process needs, unless the user has set it."""

LOOK = 0.3
"""Seconds between looks at ``torchrun``."""

KNOCK = 5.0
"""Seconds between connections to the first host, and until one counts as refused."""

WAIT = 2.0
"""Seconds until a connection counts as refused while this host waits for the first one. One that was begun before a
link was up is slow, and the next one is not."""

UNANSWERED = 20.0
"""Seconds without such a connection after which ``torchrun`` is stopped; it would wait for a quarter of an hour."""

GRACE = 40.0
"""Seconds that ``torchrun`` gets after a signal."""


@dataclass(frozen=True)
class Place:
    """This host's place among others.

    Attributes:
        first: Name or address of the first host, where all meet, and which has to stay.
        port: Port there, and the next ones that are free.
        least, most: Numbers of hosts with which the run goes on.
        processes: Processes on this host.
        restarts: How often processes are started again after one was lost.
        address: Own address for the others; None to find it.
        wait: Seconds for which the first host may be away before this one gives up.
    """

    first: str
    port: int
    least: int
    most: int
    processes: int
    restarts: int
    address: str | None
    wait: float

    @property
    def here(self) -> bool:
        """Whether this is the first host."""
        return is_here(self.first)


def launch(command: Sequence[str], place: Place) -> int:
    """Run this host's processes until the run has ended, and return the exit code.

    Args:
        command: Words after ``python``: ``-m torchpolicy train …``, or a script.
        place: This host's place.

    Raises:
        ValueError: If the first host is unknown or does not come.
    """
    address = place.address or own_address(place.first)
    if address is None:
        raise ValueError(f"no address of this host is known to others on the way to {place.first}: give --address")
    role = "the first host" if place.here else f"to join {place.first}"
    _tell(f"{this_host()} ({address}), {role}, port {place.port}: {place.processes} processes")
    with tempfile.TemporaryDirectory() as folder:
        verdict = Path(folder) / "code"
        environ = {**ENVIRON, **os.environ, VERDICT: str(verdict)}
        while True:
            if not place.here:
                _wait_for_first(place)
            code = _torchrun(_command(command, place, address), environ, place, verdict)
            if code == 0:
                _tell(f"{this_host()}: the run has ended")
            if code == 0 or verdict.exists() or (place.here and code is not None):
                return code if code is not None else 2
            time.sleep(1.0)


def _command(command: Sequence[str], place: Place, address: str) -> list[str]:
    """The whole command of ``torchrun``."""
    settings = SETTINGS | {"is_host": int(place.here)}
    return [
        *(sys.executable, "-m", "torchpolicy.runs.agent", "--nnodes", f"{place.least}:{place.most}"),
        *("--nproc-per-node", str(place.processes), "--max-restarts", str(place.restarts)),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{place.first}:{place.port}", "--rdzv-id", "torchpolicy"),
        *("--rdzv-conf", ",".join(f"{name}={value}" for name, value in settings.items())),
        *("--local-addr", address, "--monitor-interval", "0.2", *command),
    ]


def _torchrun(command: list[str], environ: Mapping[str, str], place: Place, verdict: Path) -> int | None:
    """Run ``torchrun`` until it ends; None if it was stopped because the first host does not answer."""
    process = subprocess.Popen(command, env=dict(environ), process_group=0)
    answered, knocked = time.monotonic(), time.monotonic()
    try:
        with stoppable():
            while process.poll() is None:
                time.sleep(LOOK)
                if verdict.exists():
                    _end(process, signal.SIGTERM)
                    return int(verdict.read_text())
                now = time.monotonic()
                if place.here or now - knocked < KNOCK:
                    continue
                knocked = now
                if _answers(place):
                    answered = time.monotonic()
                elif now - answered > UNANSWERED:
                    _tell(f"{this_host()}: {place.first} has not answered for {now - answered:.0f} s")
                    _end(process, signal.SIGTERM, grace=2.0)
                    return None
    except Stopped as stop:
        _end(process, stop.number)
        _tell(f"{this_host()}: stopped; the same command goes on from the last checkpoint")
        verdict.write_text(str(128 + stop.number))
        return 128 + stop.number
    if verdict.exists():
        return int(verdict.read_text())
    return process.returncode


def _end(process: "subprocess.Popen[bytes]", number: int, grace: float = GRACE) -> None:
    """End ``torchrun``, whose processes end with it."""
    with suppress(ProcessLookupError):
        process.send_signal(number)
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _wait_for_first(place: Place) -> None:
    """Wait until the first host answers.

    Raises:
        ValueError: If it does not within `place.wait` seconds.
    """
    begin, told = time.monotonic(), False
    with stoppable():
        while not _answers(place, WAIT):
            if time.monotonic() - begin > place.wait:
                raise ValueError(f"{place.first}:{place.port} has not answered for {place.wait:.0f} s: given up")
            if not told:
                _tell(f"{this_host()}: waiting for {place.first}:{place.port}")
                told = True
            time.sleep(LOOK)


def _answers(place: Place, within: float = KNOCK) -> bool:
    """Whether somebody listens on the first host."""
    try:
        with socket.create_connection((place.first, place.port), within):
            return True
    except OSError:
        return False


def _tell(text: str) -> None:
    print(f"torchpolicy: {text}", file=sys.stderr, flush=True)
