"""Env steps per second of EnvPool under random actions drawn beforehand, with no policy.

python simulator_envpool.py ENV ENVS THREADS STEPS

ENVS environments are stepped together by THREADS threads until STEPS steps are done. Finished ones are reset by
EnvPool itself.
"""

import json
import sys
import time

import envpool
import numpy as np

env, (envs, threads, steps) = sys.argv[1], map(int, sys.argv[2:])
pool = envpool.make(env, env_type="gymnasium", num_envs=envs, num_threads=threads, seed=0)
space = pool.action_space
rng = np.random.default_rng(0)
actions = [rng.uniform(space.low, space.high, (envs, *space.shape)).astype(space.dtype) for _ in range(256)]
pool.reset()
for action in actions[:32]:
    pool.step(action)
begin = time.perf_counter()
for count in range(steps // envs):
    pool.step(actions[count % len(actions)])
seconds = time.perf_counter() - begin
print(json.dumps({"steps": steps, "seconds": seconds, "rate": steps // envs * envs / seconds}))
