"""Runs of pycma's and cmaes' searches on functions of BBOB, with their defaults and without restarts.

python bbob_cmaes.py SEARCH FUNCTION DIM INSTANCES BUDGET
SEARCH: pycma, pycma-diagonal, cmaes-library or cmaes-separable.

None of their own conditions ends a run; see `Run` for those that do.
"""

import json
import sys

import cma
import cmaes
import numpy as np
from bbob_functions import Run, make_problem, start_of

STD = 2.0


def with_pycma(run: Run, instance: int, *, diagonal: bool) -> None:
    """One run of pycma, whose seed 0 would be the time."""
    start = start_of(len(run.problem.optimum), instance)
    options = {"seed": instance + 1, "verbose": -9, "CMA_diagonal": diagonal}
    search = cma.CMAEvolutionStrategy(start, STD, options)
    while not run.over:
        candidates = search.ask()
        search.tell(candidates, list(run(np.array(candidates))))


def with_cmaes(run: Run, instance: int, *, diagonal: bool) -> None:
    """One run of cmaes."""
    start = start_of(len(run.problem.optimum), instance)
    search = (cmaes.SepCMA if diagonal else cmaes.CMA)(start, STD, seed=instance)
    while not run.over:
        candidates = np.array([search.ask() for _ in range(search.population_size)])
        search.tell(list(zip(candidates, run(candidates), strict=True)))


def main() -> None:
    """Run all instances, and print their rows."""
    name = sys.argv[1]
    function, dim, instances, budget = (int(argument) for argument in sys.argv[2:])
    solve = with_pycma if name.startswith("pycma") else with_cmaes
    rows = []
    for instance in range(instances):
        run = Run(make_problem(function, dim, instance), budget)
        solve(run, instance, diagonal=name.endswith(("diagonal", "separable")))
        rows.append(run.row(instance))
    print(json.dumps({"runs": rows}))


if __name__ == "__main__":
    main()
