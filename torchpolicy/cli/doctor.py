"""Print what is installed on this machine, and what a run can use."""

import importlib.metadata
import importlib.util
import multiprocessing
import os
import platform
import shutil

import torch

from torchpolicy.base.processes import usable_cores
from torchpolicy.base.version import __version__
from torchpolicy.cli.base import as_options, parse
from torchpolicy.rollout.make import COMPILERS

PACKAGES = ("torch", "numpy", "gymnasium", "tensorboard", "safetensors", "tyro", "tqdm")

EXTRAS = {  # a module, what it is for, and the extra that installs it
    "pygame": ("pictures of classic control and Box2D", "classic"),
    "Box2D": ("LunarLander, BipedalWalker", "box2d"),
    "mujoco": ("HalfCheetah, Ant, …", "mujoco"),
    "optuna": ("torchpolicy sweep", "sweep"),
    "matplotlib": ("torchpolicy plot and landscape", "plots"),
    "imageio_ffmpeg": ("torchpolicy record to .mp4", "video"),
}


@as_options
class DoctorOptions:
    """Print versions, processors, devices, the compiler and missing extras. Add the output to a bug report."""


def run(arguments: list[str]) -> None:
    """``torchpolicy doctor``."""
    parse(DoctorOptions, "torchpolicy doctor", arguments)
    rows = [("torchpolicy", __version__), ("python", f"{platform.python_version()}, {platform.platform()}")]
    rows += [(name, importlib.metadata.version(name)) for name in PACKAGES]
    rows += [("processor", _processor()), ("threads", _threads()), ("devices", _devices())]
    rows += [("compile", _compiler()), ("workers", _workers())]
    rows += [(module, _extra(module)) for module in EXTRAS]
    for name, text in rows:
        print(f"{name:15} {text}")


def _processor() -> str:
    return f"{usable_cores()} cores, {torch.backends.cpu.get_cpu_capability()}"


def _threads() -> str:
    return f"a run uses one in each of its processes (torch's own number is {torch.get_num_threads()})"


def _devices() -> str:
    gpus = [f"cuda:{number} {torch.cuda.get_device_name(number)}" for number in range(torch.cuda.device_count())]
    triton = " (with triton, so --compile works there)" if importlib.util.find_spec("triton") else ""
    return ", ".join(["cpu", *gpus]) + (triton if gpus else "")


def _compiler() -> str:
    found = [path for name in COMPILERS if name and (path := shutil.which(name))]
    if found:
        return f"--compile uses {found[0]} and keeps what it has compiled in {_cache()}"
    return "--compile needs g++ or clang++, and neither is installed"


def _cache() -> str:
    """The folder in which torch's compiler finds what it compiled before."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # imports the compiler, which takes a second

    return os.environ.get("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())


def _workers() -> str:
    if "fork" in multiprocessing.get_all_start_methods():
        return "--workers N works here"
    return "--workers N does not work here, because this system cannot fork processes: start them with torchrun"


def _extra(module: str) -> str:
    purpose, extra = EXTRAS[module]
    if importlib.util.find_spec(module):
        return f"installed, for {purpose}"
    return f'missing, for {purpose}: pip install "torchpolicy[{extra}]"'
