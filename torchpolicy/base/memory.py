"""How much memory there is: a run that needs more is refused, and a run that uses it up ends with one line."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from torchpolicy.base.device import memory_of
from torchpolicy.base.errors import RunError
from torchpolicy.base.user_code import in_a_line, memory_needed

ADVICE = "take a smaller population, fewer episodes, or noise_rank=1 for a large network"

CGROUPS = Path("/sys/fs/cgroup")
"""Folder in which Linux keeps the limits of containers."""


def machine_memory(groups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes of memory that this process may use: the machine's memory or its container's limit, whichever is less.

    Args:
        groups: Folder with the limits of Linux's control groups.
        own: File that names the control groups of this process.
    """
    limits = [_installed()]
    for file in _limit_files(groups, own):
        try:
            text = file.read_text().strip()
        except OSError:  # there is no such group, or we may not read it: then we know of no limit
            continue
        if text.isdigit():  # "max" means that there is no limit
            limits.append(int(text))
    return min(limits)


def _installed() -> int:
    """Bytes of memory in this machine."""
    if sys.platform == "win32":
        status = (ctypes.c_ulonglong * 8)(64)  # a MEMORYSTATUSEX: its own size in bytes, then the memory's, then others
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limit_files(groups: Path, own: Path) -> Iterator[Path]:
    """Files that may hold a limit of this process's group or of one around it, in both versions of Linux's groups."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    for line in ["0::/", *lines]:
        _, kinds, place = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = (groups / "memory", "memory.limit_in_bytes") if kinds else (groups, "memory.max")
        group = root / place.strip("/")
        while group.is_relative_to(root):
            yield group / name
            group = group.parent
    yield groups / "memory" / "memory.limit_in_bytes"


def check_memory(needed: int, processes: int, device: torch.device) -> None:
    """Refuse a run that needs more memory than there is.

    Args:
        needed: Bytes of memory that one process needs.
        processes: Number of processes on this machine.
        device: The device whose memory is needed.

    Raises:
        ValueError: If there is less memory than that. The message has both numbers.
    """
    here = device.type == "cpu"
    if not here:
        processes = 1  # every process has its own GPU
    there = machine_memory() if here else memory_of(device)
    if needed * processes > there:
        each = f" in {processes} processes" if processes > 1 else ""
        where = "this machine" if here else str(device)
        raise ValueError(
            f"this would take about {needed * processes / 2**30:,.1f} GiB of memory{each}, and {where} has "
            f"{there / 2**30:,.1f} GiB: {ADVICE}"
        )


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn an error of memory, on the CPU or on a GPU, into one line that says how much was needed.

    Raises:
        RunError: If the code in the block runs out of memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if memory_needed(error) is None:
            raise
        raise RunError(f"{in_a_line(error)}: {ADVICE}") from error
