"""Runs of evotorch's searches on functions of BBOB, without restarts.

python bbob_evotorch.py SEARCH FUNCTION DIM INSTANCES BUDGET
SEARCH: evotorch-cem, evotorch-snes, evotorch-xnes or evotorch-pgpe.

SNES and XNES have their defaults. CEM and PGPE have none for some arguments: these are torchpolicy's.
"""

import json
import logging
import sys
from typing import Any

import torch
from bbob_functions import Run, make_problem, start_of
from evotorch import Problem
from evotorch.algorithms import CEM, PGPE, SNES, XNES

STD = 2.0


def make(name: str, problem: Problem, start: torch.Tensor) -> Any:
    """The search of a name."""
    common = {"stdev_init": STD, "center_init": start}
    if name == "evotorch-cem":
        return CEM(problem, popsize=64, parenthood_ratio=0.2, **common)
    if name == "evotorch-pgpe":
        rate = STD * len(start) ** 0.5 / 30
        return PGPE(problem, popsize=64, center_learning_rate=rate, stdev_learning_rate=0.1, **common)
    return (SNES if name == "evotorch-snes" else XNES)(problem, **common)


def solve(name: str, run: Run, instance: int) -> None:
    """One run."""
    start = torch.as_tensor(start_of(len(run.problem.optimum), instance))
    problem = Problem(
        "min",
        lambda candidates: torch.as_tensor(run(candidates.numpy())),
        solution_length=len(start),
        initial_bounds=(-4, 4),
        dtype=torch.float64,
        vectorized=True,
        seed=instance,
    )
    search = make(name, problem, start)
    while not run.over:
        search.step()


def main() -> None:
    """Run all instances, and print their rows."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    name = sys.argv[1]
    function, dim, instances, budget = (int(argument) for argument in sys.argv[2:])
    rows = []
    for instance in range(instances):
        run = Run(make_problem(function, dim, instance), budget)
        solve(name, run, instance)
        rows.append(run.row(instance))
    print(json.dumps({"runs": rows}))


if __name__ == "__main__":
    main()
