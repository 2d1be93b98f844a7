"""What a launcher such as ``torchrun`` tells a process: which one of a group it is, and where the others are."""

import array
import socket
import struct
from collections.abc import Mapping
from contextlib import closing, suppress

LAUNCHED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables of the environment that make a process one of a group: its number, how many there are, and the host and
port of process 0."""

INTERFACE = "GLOO_SOCKET_IFNAME"
"""Variable that names the network interface over which processes talk to each other."""

VERDICT = "TORCHPOLICY_VERDICT"
"""Variable that names a file, in which a process leaves its exit code if it is of no use to start it again."""

ELSEWHERE = ("192.0.2.1", 9)
"""An address that nobody has (RFC 5737). Asking for the way there sends nothing, and shows the address of the default
route."""


def is_launched(environ: Mapping[str, str]) -> bool:
    """Whether an environment's variables make this process one of a group.

    Raises:
        ValueError: If some of :data:`LAUNCHED` are missing, or are not the numbers that they should be.
    """
    if "TORCHELASTIC_RUN_ID" in environ:
        return True
    given = [name for name in LAUNCHED if environ.get(name)]
    if "RANK" not in given or "WORLD_SIZE" not in given:  # neither alone says that there are others
        return False
    missing = [name for name in LAUNCHED if name not in given]
    if missing:
        raise ValueError(
            f"RANK and WORLD_SIZE are set, so this is one of several processes: set {', '.join(missing)}, too"
        )
    rank, size, port = (environ[name] for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"))
    if not (rank.isdigit() and size.isdigit() and port.isdigit() and int(rank) < int(size)):
        raise ValueError(f"RANK should be a number below WORLD_SIZE, got RANK={rank}, WORLD_SIZE={size}, port {port}")
    return True


def is_elastic(environ: Mapping[str, str]) -> bool:
    """Whether ``torchrun`` started this process, which starts it again if one of the group is lost."""
    return "TORCHELASTIC_RUN_ID" in environ


def master(environ: Mapping[str, str]) -> tuple[str, int]:
    """The host and port of process 0."""
    return environ["MASTER_ADDR"], int(environ["MASTER_PORT"])


def attempt(environ: Mapping[str, str]) -> str:
    """A name that all processes of a group share, and those that a launcher stopped before did not have.

    Each ``torchrun`` counts its own restarts, so that the numbers of two hosts may differ. They are needed only where
    the store outlives the processes, as that of a ``torchrun`` does.
    """
    outlives = environ.get("TORCHELASTIC_USE_AGENT_STORE", "") == "True"
    return f"torchpolicy-{environ.get('TORCHELASTIC_RESTART_COUNT', '0')}" if outlives else "torchpolicy"


def speaks(environ: Mapping[str, str], rank: int) -> bool:
    """Whether a process tells the user of its host what happens: the first one there."""
    return rank == 0 or environ.get("LOCAL_RANK") == "0"


def is_here(host: str) -> bool:
    """Whether a host's name or address is one of this machine's."""
    return any(_can_bind(address) for address in addresses_of(host))


def addresses_of(host: str) -> list[str]:
    """The addresses that a host's name has here; none if it is unknown."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def own_address(host: str) -> str | None:
    """The address at which other machines reach this one, on the way to a host. Nothing is sent.

    If the host's name leads to this machine itself, as Debian's line ``127.0.1.1 NAME`` in /etc/hosts has it, this is
    the address of the default route or, without one, that of the first network interface that has one.

    Returns:
        The address; None if there is none except for the machine itself.
    """
    found = [_way_to(address, 9) for address in addresses_of(host)]
    found += [_way_to(*ELSEWHERE), *interfaces().values()]
    return next((address for address in found if address and not is_loopback(address)), None)


def is_loopback(address: str) -> bool:
    """Whether an address is known on its own machine only."""
    return address.startswith("127.") or address == "::1"


def interfaces() -> dict[str, str]:
    """The IPv4 address of each network interface of this machine that has one, on Linux; empty elsewhere."""
    try:
        import fcntl
    except ImportError:
        return {}
    found = {}
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        for _, name in socket.if_nameindex():
            request = array.array("B", struct.pack("256s", name.encode()[:15]))
            with suppress(OSError):
                fcntl.ioctl(asking.fileno(), 0x8915, request)  # SIOCGIFADDR
                found[name] = socket.inet_ntoa(request.tobytes()[20:24])
    return found


def choose_interface(environ: Mapping[str, str]) -> str | None:
    """The network interface on the way to process 0, if the user named none; None to leave it to Gloo.

    Gloo itself takes the address that this machine's own name has, which other machines may not reach.
    """
    if environ.get(INTERFACE):
        return None
    host = environ.get("MASTER_ADDR", "")
    alone = environ.get("LOCAL_WORLD_SIZE") == environ.get("WORLD_SIZE")
    ways = [_way_to(address, 9) for address in addresses_of(host)]
    address = next((way for way in ways if way), None) if alone else own_address(host)
    return next((name for name, own in interfaces().items() if own == address), None)


def in_words(environ: Mapping[str, str]) -> str:
    """The interface and address at which other processes should reach this one, for messages."""
    name = environ.get(INTERFACE, "")
    address = interfaces().get(name)
    return f"{address} ({name})" if address else name or "the address of this machine's own name"


def this_host() -> str:
    """The name of this machine."""
    return socket.gethostname()


def _way_to(address: str, port: int) -> str | None:
    """The own address from which this machine would speak to another one; None if there is no way."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as way:
        try:
            way.connect((address, port))
            return str(way.getsockname()[0])
        except OSError:
            return None


def _can_bind(address: str) -> bool:
    """Whether this machine has an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as own:
        try:
            own.bind((address, 0))
        except OSError:
            return False
    return True
