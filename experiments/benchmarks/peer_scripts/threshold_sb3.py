"""Seconds and env steps until PPO of stable-baselines3, or ARS of sb3-contrib, reaches a held-out score.

python threshold_sb3.py ALGORITHM ENV THRESHOLD LIMIT BEGIN SEED

The hyperparameters are those of RL Baselines3 Zoo for the environment, read in its hyperparams/ppo.yml and ars.yml in
2026; for Acrobot's ARS, Zoo says only that observations are normalised. BEGIN is when the command was started, as
``time.time()``, and LIMIT the most seconds. At most every two seconds, after an update, the greedy policy plays 10
other episodes, and 90 more if these reach the threshold; it has arrived if all 100 do. The clock stands still then.
"""

import json
import sys
import time
from contextlib import suppress
from typing import Any

import torch
from sb3_contrib import ARS
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

algorithm, env = sys.argv[1:3]
threshold, limit, begin = (float(argument) for argument in sys.argv[3:6])
seed = int(sys.argv[6])
torch.set_num_threads(1)


def falling(first: float) -> Any:
    """A number that falls to 0 while its budget is used up, as `lin_` says in Zoo's files."""
    return lambda left: left * first


WIDE = {
    "log_std_init": -2,
    "ortho_init": False,
    "activation_fn": torch.nn.ReLU,
    "net_arch": {"pi": [256, 256], "vf": [256, 256]},
}
LANDER = {"envs": 16, "n_steps": 1024, "batch_size": 64, "gae_lambda": 0.98, "gamma": 0.999, "n_epochs": 4}
PPO_SETTINGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"envs": 8, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20}
    | {"learning_rate": falling(0.001), "clip_range": falling(0.2), "budget": 100_000},
    "Acrobot-v1": {"normalize": True, "envs": 16, "n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4},
    "LunarLander-v3": {**LANDER, "ent_coef": 0.01},
    "LunarLanderContinuous-v3": {**LANDER, "ent_coef": 0.01},
    "Swimmer-v5": {"normalize": True, "gamma": 0.9999},
    "Hopper-v5": {"normalize": True, "batch_size": 32, "n_steps": 512, "gamma": 0.999, "learning_rate": 9.80828e-05}
    | {"ent_coef": 0.00229519, "clip_range": 0.2, "n_epochs": 5, "gae_lambda": 0.99, "max_grad_norm": 0.7}
    | {"vf_coef": 0.835671, "policy_kwargs": WIDE},
    "HalfCheetah-v5": {"normalize": True, "batch_size": 64, "n_steps": 512, "gamma": 0.98, "learning_rate": 2.0633e-05}
    | {"ent_coef": 0.000401762, "clip_range": 0.1, "n_epochs": 20, "gae_lambda": 0.92, "max_grad_norm": 0.8}
    | {"vf_coef": 0.58096, "policy_kwargs": WIDE},
}
OBSERVATIONS = {"norm_obs": True, "norm_reward": False}
ARS_SETTINGS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"envs": 2},
    "Acrobot-v1": {"envs": 2, "normalize": True},
    "LunarLander-v3": {"normalize": OBSERVATIONS},
    "LunarLanderContinuous-v3": {"normalize": True},
    "Swimmer-v5": {"learning_rate": 0.02, "delta_std": 0.01, "n_delta": 1, "n_top": 1, "alive_bonus_offset": 0},
    "Hopper-v5": {"normalize": OBSERVATIONS, "learning_rate": 0.01, "delta_std": 0.025, "n_delta": 8, "n_top": 4}
    | {"alive_bonus_offset": -1},
    "HalfCheetah-v5": {"normalize": OBSERVATIONS, "learning_rate": 0.02, "delta_std": 0.03, "n_delta": 32, "n_top": 4},
}


class OverError(Exception):
    """The policy has arrived, or time is up. ARS does not heed what callbacks return."""


class Arrival(BaseCallback):  # type: ignore[misc]
    """Tests the policy after updates, and ends the training when it has arrived or time is up."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = 0.0
        self.tested = time.time()
        self.arrived = False

    def seconds(self) -> float:
        """Seconds since the command was started, tests apart."""
        return time.time() - begin - self.paused

    def _on_step(self) -> bool:
        if self.seconds() > limit:
            raise OverError
        return True

    def _on_rollout_start(self) -> None:
        if time.time() - self.tested < 2:
            self._on_step()
            return
        paused = time.time()
        first = self._returns(10)
        if sum(first) / 10 >= threshold:
            self.arrived = sum(first + self._returns(90)) / 100 >= threshold
        self.tested = time.time()
        self.paused += self.tested - paused
        if self.arrived:
            raise OverError

    def _returns(self, episodes: int) -> list[float]:
        played = evaluate_policy(self.model, testing, episodes, return_episode_rewards=True)[0]
        return [float(each) for each in played]


settings = dict((PPO_SETTINGS if algorithm == "ppo" else ARS_SETTINGS)[env])
envs, normalize, budget = settings.pop("envs", 1), settings.pop("normalize", False), settings.pop("budget", 10**9)
training, testing = make_vec_env(env, envs, seed), make_vec_env(env, 1, seed + 10_000)
if normalize:
    options = OBSERVATIONS if normalize is True and algorithm == "ars" else {} if normalize is True else normalize
    training = VecNormalize(training, **{"gamma": settings.get("gamma", 0.99), **options})
    testing = VecNormalize(testing, training=False, norm_reward=False)
    testing.obs_rms = training.obs_rms
if algorithm == "ppo":
    model = PPO("MlpPolicy", training, seed=seed, device="cpu", **settings)
else:
    model = ARS("LinearPolicy", training, seed=seed, device="cpu", **settings)
arrival = Arrival()
with suppress(OverError):
    while True:
        model.learn(budget, callback=arrival, reset_num_timesteps=False)
answer = {"seconds": arrival.seconds(), "steps": model.num_timesteps, "arrived": arrival.arrived}
print(json.dumps(answer))
