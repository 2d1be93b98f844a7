"""Humanoid in MuJoCo Warp: thousands of worlds on one GPU, as a simulator of tensors with resets by mask.

MuJoCo Warp (the package mujoco-warp) steps all worlds of a model in one call of CUDA kernels. Its arrays are handed to
torch without a copy (``warp.to_torch``), and ``reset_data`` takes a mask, so that each world begins an episode when it
is asked to: the mode ``DISABLED``, with a seed for each world. Observations, rewards and ends follow a part of
Gymnasium's Humanoid-v5 (heights, joints and velocities; forward speed, 5 for being up, a price for the actions).

python experiments/humanoid_warp.py speed --worlds 4096      steps per second of the simulator alone, random actions
python experiments/humanoid_warp.py train --worlds 4096      one generation is 4,096 candidates side by side

On a GPU, --device cuda:0 also puts the policy there. Without one it runs on Warp's CPU device, in one thread.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Tensor

import torchpolicy as tp

MODEL = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "humanoid.xml"
FRAMES, LOW, HIGH, NOISE = 5, 1.0, 2.0, 0.01
"""Physical steps of a step, the heights between which it counts as up, and the noise of the first state."""


class Humanoids(VectorEnv[Any, Any, Any]):
    """N humanoids, whose tensors are on one device.

    Args:
        worlds: N.
        device: Warp's device, ``cpu`` or ``cuda:0``.
        contacts: Room for contacts, a world.
        constraints: Room for constraints, a world.
    """

    def __init__(self, worlds: int = 4096, device: str = "cpu", contacts: int = 48, constraints: int = 200) -> None:
        import mujoco_warp
        import warp

        self._warp, self._physics, self.num_envs = warp, mujoco_warp, worlds
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}
        self._place = warp.get_device(device)
        model = mujoco.MjModel.from_xml_path(str(MODEL))
        model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON  # Gymnasium's PGS is not in MuJoCo Warp
        self._first = np.concatenate([model.qpos0, np.zeros(model.nv)]), model.nq
        with warp.ScopedDevice(self._place):
            self._model = mujoco_warp.put_model(model)
            room = {"naconmax": contacts * worlds, "njmax": constraints}
            self._data = mujoco_warp.put_data(model, mujoco.MjData(model), nworld=worlds, **room)
            self._graph = self._captured()
        self._qpos, self._qvel = warp.to_torch(self._data.qpos), warp.to_torch(self._data.qvel)
        self._ctrl, self._seconds = warp.to_torch(self._data.ctrl), FRAMES * model.opt.timestep
        count = model.nq - 2 + model.nv
        self.single_observation_space = Box(-np.inf, np.inf, (count,), np.float32)
        self.single_action_space = Box(-0.4, 0.4, (model.nu,), np.float32)

    def _captured(self) -> Any:
        """The kernels of a step as a CUDA graph, which is launched as one; None on the CPU."""
        self._advance()  # compiles the kernels
        if not self._place.is_cuda:
            return None
        with self._warp.ScopedCapture() as capture:
            self._advance()
        return capture.graph

    def _advance(self) -> None:
        for _ in range(FRAMES):
            self._physics.step(self._model, self._data)

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin episodes: all, or those of ``options["reset_mask"]`` (N,), with a seed of its own for each."""
        given = (options or {}).get("reset_mask")
        mask = np.ones(self.num_envs, bool) if given is None else np.asarray(given, bool)
        seeds = seed if isinstance(seed, list) else [(seed or 0) + world for world in range(self.num_envs)]
        worlds = mask.nonzero()[0]
        start, nq = self._first
        noise = [np.random.default_rng(seeds[world]).uniform(-NOISE, NOISE, len(start)) for world in worlds]
        states = torch.from_numpy(np.stack([start + one for one in noise])).to(self._qpos)
        self._physics.reset_data(self._model, self._data, self._warp.array(mask, dtype=bool, device=self._place))
        place = torch.from_numpy(worlds).to(self._qpos.device)
        self._qpos[place], self._qvel[place] = states[:, :nq], states[:, nq:]
        return self._seen(), {}

    def _seen(self) -> Tensor:
        return torch.cat([self._qpos[:, 2:], self._qvel], 1)

    def step(self, actions: Tensor) -> Any:
        """Step all worlds by actions (N, A)."""
        before = self._qpos[:, 0].clone()
        self._ctrl.copy_(actions)
        if self._graph is None:
            with self._warp.ScopedDevice(self._place):
                self._advance()
        else:
            self._warp.capture_launch(self._graph)
        height, sound = self._qpos[:, 2], self._qvel.isfinite().all(1)
        fallen = (height < LOW) | (height > HIGH) | ~sound
        forward = 1.25 * (self._qpos[:, 0] - before) / self._seconds
        rewards = forward + 5.0 * ~fallen - 0.1 * actions.square().sum(1)
        return self._seen(), rewards, fallen, torch.zeros_like(fallen), {}


def speed(worlds: int, device: str, steps: int) -> float:
    """Steps of all worlds per second under random actions, without a policy; all begin anew every 50 steps."""
    simulator = Humanoids(worlds, device)
    actions = torch.rand(worlds, 17, device=simulator.reset(seed=0)[0].device) * 0.8 - 0.4
    simulator.step(actions)
    begin = time.perf_counter()
    for step in range(steps):
        if step % 50 == 49:
            simulator.reset(seed=step)
        seen = simulator.step(actions)[0]
    seen.sum().item()  # waits for the device
    return worlds * steps / (time.perf_counter() - begin)


def train(worlds: int, device: str, **settings: Any) -> tp.Result:
    """SNES with a small network; every candidate has a world of its own."""
    simulator = Humanoids(worlds, device)
    given: dict[str, Any] = {"population": worlds, "policy_args": {"hidden": (64, 64)}, "max_episode_steps": 1000}
    given |= {"device": device.partition(":")[0], "normalize_observations": True, "generations": 200, "seed": 0}
    return tp.train(simulator, "snes", **given | settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "speed"))
    parser.add_argument("--worlds", type=int, default=4096)
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    if arguments.what == "speed":
        print(f"{speed(arguments.worlds, arguments.device, arguments.steps):,.0f} steps/s")
    else:
        print(train(arguments.worlds, arguments.device))
