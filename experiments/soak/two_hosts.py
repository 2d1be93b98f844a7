"""A run of two hosts under random faults, compared with one that was never touched.

The hosts are network namespaces of this machine (root is needed), and their shared folder is a small disk that can be
filled up. One fault after the other: a process killed, a host killed and started again, a process stopped and let go
on, the link down and up again, the disk full for a while.

    python experiments/soak/two_hosts.py --faults 20
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(1, str(Path(__file__).parents[1]))
from benchmarks.machine import describe
from hosts import PAUSE, Network  # type: ignore[import-not-found]
from soak.kills import facts

ROOT = Path(__file__).parents[2]

TRAIN = ["train", "cem", "--env", "hosts:Slow", "--population", "40", "--target", "none", "--seed", "3"]
TRAIN += ["--eval-episodes", "2", "--eval-every", "1000", "--checkpoint-seconds", "1", "--patience", "10"]


class Soak:
    """Two hosts at work in a folder, and what can go wrong with them."""

    def __init__(self, network: Any, folder: Path, generations: int, rng: random.Random) -> None:
        self.network, self.folder, self.rng = network, folder, rng
        self.words = [*TRAIN, "--generations", str(generations), "--run-dir", str(folder / "disk" / "run")]
        self.hosts: dict[str, subprocess.Popen[bytes]] = {}
        for host in "ab":
            self.start(host)

    def start(self, host: str) -> None:
        """Type the command on a host."""
        launch = [sys.executable, "-m", "torchpolicy", "launch", "--first", "a", "--hosts", "1:2", *self.words]
        self.hosts[host] = self.network.start(host, launch, self.folder / f"{host}.log", **{PAUSE: "0.01"})

    def trainers(self) -> list[int]:
        """Pids of the processes that train."""
        pids = [pid for host in "ab" for pid in self.network.pids(host)]
        return [pid for pid in pids if b"torchpolicy\x00train" in _said(pid) and b"distributed.run" not in _said(pid)]

    def kill_process(self) -> None:
        """SIGKILL for a process that trains."""
        os.kill(self.rng.choice(self.trainers()), signal.SIGKILL)

    def kill_host(self) -> None:
        """SIGKILL for all of host b, which is started again after some seconds."""
        self.network.signal_all("b", signal.SIGKILL)
        time.sleep(self.rng.uniform(1, 25))
        self.start("b")

    def stop_process(self) -> None:
        """SIGSTOP for a process that trains, and SIGCONT after some seconds."""
        pid = self.rng.choice(self.trainers())
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(2, 15))
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGCONT)

    def unplug(self) -> None:
        """No link for some seconds."""
        self.network.unplug("b")
        time.sleep(self.rng.uniform(3, 20))
        self.network.plug("b")

    def fill_disk(self) -> None:
        """No room on the shared disk for some seconds."""
        path = self.folder / "disk" / "full"
        try:
            with path.open("wb") as file:
                while True:
                    file.write(bytes(2**16))
                    file.flush()
        except OSError:
            pass
        time.sleep(self.rng.uniform(2, 6))
        path.unlink()

    @property
    def generation(self) -> int:
        """Generations that are written."""
        path = self.folder / "disk" / "run" / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    @property
    def over(self) -> bool:
        """Whether the first host is done."""
        return self.hosts["a"].poll() is not None

    def goes_on(self, limit: float = 240) -> float:
        """Seconds until a generation is written that was not there before."""
        begin, reached = time.monotonic(), self.generation
        while self.generation <= reached and not self.over:
            if time.monotonic() - begin > limit:
                raise TimeoutError(f"no generation after {reached} within {limit} s")
            time.sleep(0.2)
        return time.monotonic() - begin


def _said(pid: int) -> bytes:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    """Soak, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=20)
    parser.add_argument("--generations", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "two_hosts.json")
    arguments = parser.parse_args()
    os.environ |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    rng, machine, rows = random.Random(arguments.seed), describe(), []
    with tempfile.TemporaryDirectory() as name, Network() as network:
        folder = Path(name)
        (folder / "disk").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder / "disk")], check=True)
        try:
            soak = Soak(network, folder, arguments.generations, rng)
            kinds: list[Callable[[], None]] = [
                *(soak.kill_process, soak.kill_host, soak.stop_process, soak.unplug, soak.fill_disk)
            ]
            soak.goes_on()
            for number in range(arguments.faults):
                time.sleep(rng.uniform(1, 4))
                fault = kinds[number] if number < len(kinds) else rng.choice(kinds)
                if soak.over or not soak.trainers():
                    break
                fault()
                rows.append(
                    {"fault": fault.__name__, "generation": soak.generation, "seconds": round(soak.goes_on(), 1)}
                )
                print(rows[-1], flush=True)
            code = soak.hosts["a"].wait(1200)
            alone = [sys.executable, "-m", "torchpolicy", *soak.words[:-1], str(folder / "alone")]
            subprocess.run(alone, check=True, capture_output=True)
            same = code == 0 and facts(folder / "alone") == facts(folder / "disk" / "run")
            if not same:
                print((folder / "a.log").read_text()[-5000:], (folder / "b.log").read_text()[-5000:], code)
        finally:
            network.__exit__()
            subprocess.run(["umount", str(folder / "disk")], check=False)
    result = {**machine, "faults": rows, "exit_code": code, "same": same}
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{len(rows)} faults, exit code {code}, the same bits: {same}")
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
