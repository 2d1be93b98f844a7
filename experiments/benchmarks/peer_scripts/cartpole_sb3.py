"""Env steps per second of sb3-contrib's ARS on CartPole-v1 with a linear policy, over updates from the first on.

python cartpole_sb3.py POPULATION UPDATES SECONDS SEED
"""

import json
import sys
import time

import torch
from sb3_contrib import ARS
from stable_baselines3.common.callbacks import BaseCallback

population, updates, limit, seed = (int(argument) for argument in sys.argv[1:])
torch.set_num_threads(1)


class Clock(BaseCallback):  # type: ignore[misc]
    """Notes steps and seconds at the end of each whole update, and ends the training when there were enough."""

    def __init__(self) -> None:
        super().__init__()
        self.done = self.steps = 0
        self.seconds = 0.0

    def _on_training_start(self) -> None:
        self.begin = time.perf_counter()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.done += 1
        self.steps, self.seconds = self.model.num_timesteps, time.perf_counter() - self.begin
        if self.done == updates or self.seconds > limit:
            raise KeyboardInterrupt


model = ARS("LinearPolicy", "CartPole-v1", n_delta=population // 2, n_eval_episodes=1, seed=seed, device="cpu")
clock = Clock()
processor = time.process_time()
try:
    model.learn(10**9, callback=clock)
except KeyboardInterrupt:
    processor = time.process_time() - processor
answer = {"generations": clock.done, "steps": clock.steps, "seconds": clock.seconds}
print(json.dumps(answer | {"rate": clock.steps / clock.seconds, "cores": processor / clock.seconds}))
