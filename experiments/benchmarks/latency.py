"""Seconds of a generation of two processes on two hosts, by the delay of the link between them.

The hosts are network namespaces of this machine (root is needed); this script is the link, and holds every packet back.
An episode sleeps, so that a generation takes half a second without any delay.

    python experiments/benchmarks/latency.py
"""

import argparse
import contextlib
import fcntl
import heapq
import itertools
import json
import os
import select
import statistics
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(1, str(Path(__file__).parents[1]))
from benchmarks.machine import describe
from hosts import PAUSE, Network, ip  # type: ignore[import-not-found]

ROOT = Path(__file__).parents[2]

EVERY = 1000
"""Generations between held-out evaluations: none in between is wanted."""


class Link(threading.Thread):
    """A link between two namespaces, through which every packet takes so many seconds.

    Args:
        network: Hosts a and b, whose ways to each other lead over this link from now on.
        delay: Seconds of one way.
    """

    def __init__(self, network: Network, delay: float) -> None:
        super().__init__(daemon=True)
        self._delay, self._ends = delay, []
        for host, other in ("ab", "ba"):
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            name = f"tpl{host}{os.getpid() % 100000}"
            kind = struct.pack("16sH", name.encode(), 0x0001 | 0x1000)  # IFF_TUN, packets without a head
            fcntl.ioctl(end, 0x400454CA, kind)  # TUNSETIFF
            ip("link", "set", name, "netns", network.space(host))
            address = "10.78.0.1" if host == "a" else "10.78.0.2"
            peer = "10.78.0.2" if host == "a" else "10.78.0.1"
            ip("-n", network.space(host), "addr", "add", address, "peer", peer, "dev", name)
            ip("-n", network.space(host), "link", "set", name, "up")
            network.write_hosts(host, {host: address, other: peer})
            self._ends.append(end)

    def run(self) -> None:
        """Hand packets over, each when its time has come, until the hosts are gone."""
        with contextlib.suppress(OSError):
            self._carry()

    def _carry(self) -> None:
        waiting: list[tuple[float, int, int, bytes]] = []
        count = 0
        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
            for end in select.select(self._ends, [], [], pause)[0]:
                packet = os.read(end, 65536)
                other = self._ends[1 - self._ends.index(end)]
                heapq.heappush(waiting, (time.monotonic() + self._delay, count, other, packet))
                count += 1
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                os.write(end, packet)


def measure(delay: float, generations: int, population: int, pause: float) -> float:
    """The median number of seconds of a generation."""
    with tempfile.TemporaryDirectory() as name, Network() as network:
        folder = Path(name)
        Link(network, delay).start()
        train = ["train", "cem", "--env", "hosts:Slow", "--population", str(population), "--target", "none"]
        train += ["--generations", str(generations), "--eval-episodes", "2", "--eval-every", str(EVERY)]
        train += ["--run-dir", str(folder / "run"), "--checkpoint-seconds", "1000"]
        command = [sys.executable, "-m", "torchpolicy", "launch", "--first", "a", "--hosts", "2", *train]
        processes = [network.start(host, command, folder / f"{host}.log", **{PAUSE: str(pause)}) for host in "ab"]
        for process in processes:
            if process.wait(600):
                raise RuntimeError((folder / "a.log").read_text() + (folder / "b.log").read_text())
        rows = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    elapsed = [float(row["time/elapsed"]) for row in rows[3:-1]]
    return float(statistics.median(later - before for before, later in itertools.pairwise(elapsed)))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0, 0.05])
    parser.add_argument("--generations", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "latency.json")
    arguments = parser.parse_args()
    os.environ |= {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    machine, rows = describe(), []
    for population, pause in ((40, 0.025), (400, 0.0025)):
        for delay in arguments.delays:
            seconds = measure(delay, arguments.generations, population, pause)
            rows.append({"population": population, "one_way": delay, "seconds": round(seconds, 4)})
            print(rows[-1], flush=True)
    arguments.out.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
