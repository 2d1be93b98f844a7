"""Seconds per step, and peak memory, of evotorch's searches with an objective that costs nothing.

python ask_tell_evotorch.py SEARCH DIM POPULATION STEPS, SEARCH: cem, snes or pgpe. The first step is left out.
"""

import json
import logging
import sys
import time
from pathlib import Path

import torch
from evotorch import Problem
from evotorch.algorithms import CEM, PGPE, SNES


def memory(kind: str) -> int:
    """Bytes: VmRSS, what is resident now, or VmHWM, the most there was (`ru_maxrss` remembers the parent's)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{kind}:")[1].split()[0])


logging.disable(logging.CRITICAL)
name = sys.argv[1]
dim, population, steps = (int(argument) for argument in sys.argv[2:])
torch.set_num_threads(1)
torch.manual_seed(0)
scores = torch.randn(population)
before = memory("VmRSS")
problem = Problem(
    "max",
    lambda candidates: scores[: len(candidates)],
    solution_length=dim,
    initial_bounds=(-0.00001, 0.00001),
    dtype=torch.float32,
    vectorized=True,
)
if name == "cem":
    searcher = CEM(problem, popsize=population, parenthood_ratio=0.2, stdev_init=1.0)
elif name == "snes":
    searcher = SNES(problem, popsize=population, stdev_init=1.0)
else:
    searcher = PGPE(problem, popsize=population, center_learning_rate=0.1, stdev_learning_rate=0.1, stdev_init=1.0)
seconds = []
for _ in range(steps + 1):
    begin = time.perf_counter()
    searcher.step()
    seconds.append(time.perf_counter() - begin)
taken = memory("VmHWM") - before
print(json.dumps({"seconds": seconds[1:], "memory": taken / (4 * population * dim)}))
