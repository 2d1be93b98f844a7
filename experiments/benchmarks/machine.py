"""Describing where a result was measured."""

import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import torchpolicy


def _git(*arguments: str) -> str:
    """The output of a git command, run in the folder of this file."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip()


def describe() -> dict[str, Any]:
    """Command, commit, machine, versions and date, for the head of a results file."""
    changed = _git("status", "--porcelain", "--", ":/*.py")
    cpu = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpu.read_text().splitlines() if line.startswith("model name")]
    parts = [names[0] if names else platform.processor(), f"{os.cpu_count()} cores"]
    return {
        "command": " ".join(["python", *sys.argv]),
        "commit": _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else ""),
        "date": date.today().isoformat(),
        "machine": ", ".join([*parts, torch.backends.cpu.get_cpu_capability()]),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
        "torchpolicy": torchpolicy.__version__,
    }
