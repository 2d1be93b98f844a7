"""Hosts that are network namespaces of this machine, with a switch between them. All traffic stays inside."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

PAUSE = "TEST_PAUSE"
"""Variable of the environment: seconds that an episode of :class:`Slow` sleeps at its first step."""


class Slow(gymnasium.Env[Any, Any]):
    """Ten steps, the first of which sleeps; the reward is larger for greater actions."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._place, self._left = self.np_random.uniform(-1, 1, 3).astype(np.float32), 10
        return self._place, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._left == 10:
            time.sleep(float(os.environ.get(PAUSE, "0")))
        self._left -= 1
        self._place = np.clip(self._place + 0.3 * action, -1, 1).astype(np.float32)
        return self._place, float(self._place.sum()), self._left == 0, False, {}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return "network namespaces need Linux, root, ip and unshare"
    name = f"tp{os.getpid()}x"
    try:
        ip("netns", "add", name)
        try:
            ip("-n", name, "link", "add", "br0", "type", "bridge")
        finally:
            ip("netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.decode().strip()}"
    return ""


class Network:
    """Hosts a, b, … at 10.77.0.1, 10.77.0.2, …, with processes that end with it."""

    def __init__(self, count: int = 2) -> None:
        self.names = [chr(ord("a") + number) for number in range(count)]
        self._prefix = f"tp{os.getpid()}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def space(self, host: str) -> str:
        return f"{self._prefix}{host}"

    def address(self, host: str) -> str:
        return f"10.77.0.{1 + self.names.index(host)}"

    def __enter__(self) -> "Network":
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _build(self) -> None:
        switch = self.space("switch")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for host in self.names:
            space = self.space(host)
            ip("netns", "add", space)
            ip("-n", space, "link", "set", "lo", "up")
            ip("-n", switch, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-n", switch, "link", "set", f"to-{host}", "master", "br0")
            ip("-n", switch, "link", "set", f"to-{host}", "up")
            ip("-n", space, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            self.write_hosts(host, {name: self.address(name) for name in self.names})

    def write_hosts(self, host: str, lines: dict[str, str]) -> None:
        """What /etc/hosts is on a host, {name: address}."""
        folder = Path("/etc/netns") / self.space(host)
        folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **lines}.items())
        (folder / "hosts").write_text(text)

    def plug(self, host: str) -> None:
        """Put a host's cable in."""
        ip("-n", self.space("switch"), "link", "set", f"to-{host}", "master", "br0")

    def unplug(self, host: str) -> None:
        """Take a host's cable out, without a word to anybody."""
        ip("-n", self.space("switch"), "link", "set", f"to-{host}", "nomaster")

    def start(self, host: str, command: Sequence[str], log: Path, **environ: str) -> "subprocess.Popen[bytes]":
        """Start a command on a host; what it says goes into a file."""
        named = ["unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh", *command]
        with log.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.space(host), *named],
                stdout=file,
                stderr=file,
                env={**os.environ, **environ},
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def pids(self, host: str) -> list[int]:
        """All processes on a host."""
        found = subprocess.run(["ip", "netns", "pids", self.space(host)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def signal_all(self, host: str, number: int) -> None:
        """Send a signal to everything on a host, as if it lost its power (SIGKILL) or froze (SIGSTOP)."""
        for pid in self.pids(host):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def __exit__(self, *exception: object) -> None:
        for host in self.names:
            for _ in range(3):
                self.signal_all(host, signal.SIGKILL)
        for process in self._processes:
            process.wait(10)
        for host in [*self.names, "switch"]:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", self.space(host))
            shutil.rmtree(Path("/etc/netns") / self.space(host), ignore_errors=True)
