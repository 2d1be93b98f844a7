"""Env steps per second of evotorch's CEM on CartPole-v1 with a linear policy, over generations from the first on.

python cartpole_evotorch.py KIND POPULATION GENERATIONS SECONDS SEED, KIND: gym, vec, or vec512 for 512 environments.
"""

import json
import logging
import sys
import time

import torch
from evotorch.algorithms import CEM
from evotorch.neuroevolution import GymNE, VecGymNE

logging.disable(logging.CRITICAL)
kind = sys.argv[1]
population, generations, limit, seed = (int(argument) for argument in sys.argv[2:])
torch.set_num_threads(1)
torch.manual_seed(seed)

net = "Linear(obs_length, act_length)"
if kind == "gym":
    problem = GymNE("CartPole-v1", net)
else:
    problem = VecGymNE("CartPole-v1", net, max_num_envs=int(kind.removeprefix("vec") or population))
problem.evaluate(problem.generate_batch(population if kind != "gym" else 2))  # makes the environments
searcher = CEM(problem, popsize=population, parenthood_ratio=0.1, stdev_init=1.0)

before = int(problem.status["total_interaction_count"])
begin, processor = time.perf_counter(), time.process_time()
done = 0
while done < generations and time.perf_counter() - begin < limit:
    searcher.step()
    done += 1
seconds = time.perf_counter() - begin
steps = int(problem.status["total_interaction_count"]) - before
answer = {"generations": done, "steps": steps, "seconds": seconds, "rate": steps / seconds}
print(json.dumps(answer | {"cores": (time.process_time() - processor) / seconds}))
