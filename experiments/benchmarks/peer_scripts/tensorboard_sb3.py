"""A run of stable-baselines3's PPO on CartPole-v1 that writes for TensorBoard.

python tensorboard_sb3.py FOLDER STEPS
"""

import json
import sys

from stable_baselines3 import PPO

folder, steps = sys.argv[1], int(sys.argv[2])
model = PPO("MlpPolicy", "CartPole-v1", seed=0, device="cpu", tensorboard_log=folder)
model.learn(steps)
print(json.dumps({"steps": model.num_timesteps}))
