"""Makes a process look like one on Windows, as far as Linux can: `disguise` is called before the package is imported.

What torch and others decide by the platform they have decided before.
"""

import builtins
import ctypes
import fcntl
import importlib
import multiprocessing
import multiprocessing.context
import os
import shutil
import signal
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

MISSING = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix", "syslog")
"""Modules that Windows lacks."""

FUNCTIONS = (
    "fork",
    "sysconf",
    "sched_getaffinity",
    "getuid",
    "geteuid",
    "getpgid",
    "killpg",
    "setsid",
    "wait4",
    "uname",
)
"""Functions of `os` that Windows lacks."""

SIGNALS = ("SIGKILL", "SIGPIPE", "SIGHUP", "SIGALRM", "SIGCHLD", "SIGUSR1", "SIGUSR2", "SIGQUIT")
"""Signals that Windows lacks."""

MEMORY = 3 * 2**30
"""Bytes that this Windows says it has."""


def disguise() -> None:
    """From here on, this process is as one on Windows to code that is imported from now on."""
    import gymnasium
    import safetensors.torch
    import tensorboard.backend.event_processing.event_accumulator
    import torch.distributed.distributed_c10d
    import torch.distributed.rendezvous
    import torch.utils.deterministic
    import torch.utils.tensorboard
    import tyro

    del gymnasium, safetensors, tensorboard, torch, tyro
    lock = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB
    for name in MISSING:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in (
        (os, FUNCTIONS),
        (signal, SIGNALS),
        (multiprocessing.context, ("ForkProcess", "ForkContext")),
    ):
        for name in names:
            delattr(module, name)
    multiprocessing.get_all_start_methods = lambda: ["spawn"]
    windows: Any = ModuleType("msvcrt")
    windows.LK_NBLCK = 2

    def locking(descriptor: int, mode: int, count: int) -> None:
        try:
            lock[0](descriptor, lock[1])
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    windows.locking = locking
    sys.modules["msvcrt"] = windows

    def memory_status(pointer: Any) -> None:
        status = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_ulonglong))
        status[1] = MEMORY

    ctypes.windll = SimpleNamespace(  # type: ignore[attr-defined]
        kernel32=SimpleNamespace(GlobalMemoryStatusEx=memory_status)
    )
    opened = os.open

    def no_folders(path: Any, *arguments: Any, **keywords: Any) -> int:
        if os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **keywords)

    os.open = no_folders
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    sys.platform = "win32"
    builtins.WindowsError = OSError  # type: ignore[attr-defined]


def import_everything() -> int:
    """Import every module of the package, but those whose simulator is not installed; returns how many there are."""
    from pathlib import Path

    import torchpolicy

    root = Path(torchpolicy.__file__).parent
    names = [".".join(path.relative_to(root.parent).with_suffix("").parts) for path in root.rglob("*.py")]
    for name in names:
        if name != "torchpolicy.__main__":
            try:
                importlib.import_module(name)
            except ValueError as error:
                if "the package" not in str(error):
                    raise
    return len(names)
