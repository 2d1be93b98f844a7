"""Seconds and env steps until evotorch's PGPE with ClipUp reaches a held-out score.

python threshold_evotorch.py KIND ENV THRESHOLD LIMIT BEGIN SEED

KIND is gym (two Ray actors) or vec (VecGymNE with 64 environments, in this process). The settings are those of
evotorch's examples/scripts/rl_clipup.py: its lander for CartPole, Acrobot and both landers, and its walker for MuJoCo,
with a bonus for being alive subtracted where there is one. BEGIN is when the command was started, as ``time.time()``,
and LIMIT the most seconds. At most every two seconds, after a generation, the center plays 10 other episodes, and 90
more if these reach the threshold; it has arrived if all 100 do. The clock stands still meanwhile.
"""

import json
import logging
import os
import sys
import time
from typing import Any

import torch
from evotorch.algorithms import PGPE
from evotorch.neuroevolution import GymNE, VecGymNE

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
logging.disable(logging.CRITICAL)
kind, env = sys.argv[1:3]
threshold, limit, begin = (float(argument) for argument in sys.argv[3:6])
seed = int(sys.argv[6])
torch.set_num_threads(1)
torch.manual_seed(seed)

walker = env in ("Swimmer-v5", "Hopper-v5", "HalfCheetah-v5")
speed, population = (0.015, 100) if walker else (0.3, 200)
net = "Linear(obs_length, act_length)" if walker else "Linear(obs_length, act_length, False)"
common: dict[str, Any] = {"observation_normalization": walker}
played = common | {"decrease_rewards_by": 1.0 if env == "Hopper-v5" else None}
problem = GymNE(env, net, num_actors=2, **played) if kind == "gym" else VecGymNE(env, net, max_num_envs=64, **played)
tests = GymNE(env, net, **common)
by_steps = {"num_interactions": int(0.75 * 1000 * population), "popsize_max": 800} if walker else {}
searcher = PGPE(
    problem,
    popsize=population,
    center_learning_rate=0.75 * speed,
    stdev_learning_rate=0.1,
    optimizer="clipup",
    optimizer_config={"max_speed": speed, "momentum": 0.9},
    radius_init=15 * speed,
    **by_steps,
)


def returns(episodes: int) -> list[float]:
    """Returns of the center in held-out episodes."""
    if walker:
        tests.set_observation_stats(problem.get_observation_stats())
    batch = tests.generate_batch(episodes)
    batch.set_values(searcher.status["center"].cpu().unsqueeze(0).repeat(episodes, 1))
    tests.evaluate(batch)
    return [float(each) for each in batch.evals[:, 0]]


paused, tested, arrived = 0.0, time.time(), False
while not arrived and time.time() - begin - paused < limit:
    searcher.step()
    if time.time() - tested < 2:
        continue
    pause = time.time()
    first = returns(10)
    if sum(first) / 10 >= threshold:
        arrived = sum(first + returns(90)) / 100 >= threshold
    tested = time.time()
    paused += tested - pause
steps = int(problem.status["total_interaction_count"])
print(json.dumps({"seconds": time.time() - begin - paused, "steps": steps, "arrived": arrived}))
