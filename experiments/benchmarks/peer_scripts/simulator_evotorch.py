"""Env steps per second of evotorch's CEM on a Gymnasium environment with an MLP, the first generation left out.

python simulator_evotorch.py ENV KIND ENVS ACTORS NORMALIZE UNITS POPULATION GENERATIONS SEED

KIND is gym or vec, and ENVS the number of environments of vec. UNITS is the size of both hidden layers. ACTORS is the
number of Ray's processes, or 0 for this process alone. NORMALIZE is 1 if observations are normalised, and 0 otherwise.
"""

import json
import logging
import os
import sys
import time

import torch
from evotorch.algorithms import CEM
from evotorch.neuroevolution import GymNE, VecGymNE

# By default actors give way to all else on the machine, and may stand still.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
logging.disable(logging.CRITICAL)
env, kind = sys.argv[1:3]
envs, actors, normalize, units, population, generations, seed = (int(argument) for argument in sys.argv[3:])
torch.set_num_threads(1)
torch.manual_seed(seed)

net = f"Linear(obs_length, {units}) >> Tanh() >> Linear({units}, {units}) >> Tanh() >> Linear({units}, act_length)"
settings = {"observation_normalization": bool(normalize), "num_actors": actors or None}
problem = GymNE(env, net, **settings) if kind == "gym" else VecGymNE(env, net, max_num_envs=envs, **settings)
searcher = CEM(problem, popsize=population, parenthood_ratio=0.2, stdev_init=1.0)
searcher.step()
before = int(problem.status["total_interaction_count"])
begin = time.perf_counter()
for _ in range(generations - 1):
    searcher.step()
seconds = time.perf_counter() - begin
steps = int(problem.status["total_interaction_count"]) - before
print(json.dumps({"steps": steps, "seconds": seconds, "rate": steps / seconds}))
