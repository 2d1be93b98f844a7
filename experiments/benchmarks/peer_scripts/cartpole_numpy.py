"""Useful env steps per second of CEM with a linear policy on Gymnasium's CartPoleVectorEnv, all in NumPy.

All candidates step until the last one's episode has ended. Steps up to the end of each episode are useful.

python cartpole_numpy.py POPULATION GENERATIONS SECONDS SEED
"""

import json
import sys
import time
from typing import Any

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from numpy.typing import NDArray

population, generations, limit, seed = (int(argument) for argument in sys.argv[1:])
ELITE = max(2, round(0.1 * population))
rng = np.random.default_rng(seed)
env = CartPoleVectorEnv(population)
# A check of every action, in Python, takes longer than the step itself: without it.
env.action_space.contains = lambda action: True  # type: ignore[method-assign, assignment]


def play(candidates: NDArray[Any], seed: int) -> NDArray[Any]:
    """Steps (P,) of one episode each, by weights (P, 10): 2 x 4 and a bias each."""
    matrices, biases = candidates[:, :8].reshape(-1, 2, 4), candidates[:, 8:]
    left, right = matrices[:, 0].astype(np.float32), matrices[:, 1].astype(np.float32)
    difference, bias = right - left, (biases[:, 1] - biases[:, 0]).astype(np.float32)
    observations, _ = env.reset(seed=seed)
    steps, alive = np.zeros(len(candidates), int), np.ones(len(candidates), bool)
    while alive.any():
        actions = ((observations * difference).sum(1) + bias > 0).astype(np.int64)
        observations, _, terminated, truncated, _ = env.step(actions)
        steps += alive
        alive &= ~(terminated | truncated)
    return steps


play(rng.normal(size=(population, 10)), seed + 1000)
mean, std, total, done = np.zeros(10), np.ones(10), 0, 0
begin, processor = time.perf_counter(), time.process_time()
while done < generations and time.perf_counter() - begin < limit:
    candidates = mean + std * rng.standard_normal((population, 10))
    steps = play(candidates, 10_000 * seed + done)
    elite = candidates[np.argsort(-steps)[:ELITE]]
    mean, std = elite.mean(0), elite.std(0, ddof=1)
    total += int(steps.sum())
    done += 1
seconds = time.perf_counter() - begin
answer = {"generations": done, "steps": total, "seconds": seconds, "rate": total / seconds}
print(json.dumps(answer | {"cores": (time.process_time() - processor) / seconds}))
