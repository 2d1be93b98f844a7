"""A link between two hosts that takes its time and loses packets. Root and /dev/net/tun are needed."""

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time

from hosts import Network, ip


class Link(threading.Thread):
    """A link between two namespaces, through which every packet takes so many seconds, and on which some are lost.

    Args:
        network: Hosts a and b, whose ways to each other lead over this link from now on.
        delay: Seconds of one way.
        loss: Share of the packets that are lost. TCP sends them again.

    Attributes:
        carried, lost: Numbers of packets so far.
    """

    def __init__(self, network: Network, delay: float, loss: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._delay, self._loss, self._ends = delay, loss, []
        self.carried = self.lost = 0
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
        chance = random.Random(0)
        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else 1.0
            for end in select.select(self._ends, [], [], pause)[0]:
                packet = os.read(end, 65536)
                if chance.random() < self._loss:
                    self.lost += 1
                    continue
                other = self._ends[1 - self._ends.index(end)]
                heapq.heappush(waiting, (time.monotonic() + self._delay, self.carried, other, packet))
                self.carried += 1
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(waiting)
                os.write(end, packet)
