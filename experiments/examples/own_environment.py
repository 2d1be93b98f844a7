"""An environment of your own: keep a room warm through a cold night for little money.

python experiments/examples/own_environment.py
"""

import argparse
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

import torchpolicy as tp


class Room(gymnasium.Env[Any, Any]):
    """A room that loses heat to the outside. The action, 0 to 1, is the heater's power.

    An episode has 96 quarter hours. The reward is minus the squared distance from 20 degrees, and minus the price of
    the energy.
    """

    observation_space = Box(-np.inf, np.inf, (3,), np.float32)
    action_space = Box(0.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a night. All that is random comes from `self.np_random`, so that an episode depends on its seed."""
        super().reset(seed=seed)
        self.room, self.outside, self.quarter = 15.0, self.np_random.uniform(-10, 5), 0
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Heat for a quarter of an hour."""
        power = float(action[0])
        self.outside += self.np_random.normal(0, 0.3)
        self.room += 0.03 * (self.outside - self.room) + 1.5 * power
        self.quarter += 1
        reward = -0.1 * (self.room - 20) ** 2 - 0.5 * power
        return self._see(), reward, False, self.quarter == 96, {}

    def _see(self) -> Any:
        return np.array([(self.room - 20) / 5, self.outside / 10, self.quarter / 96], np.float32)


def main() -> None:
    """Train a network for the heater."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=60)
    generations = parser.parse_args().generations
    settings = {"policy_args": {"hidden": (16,)}, "episodes": 4, "generations": generations}
    result = tp.train(Room, "snes", eval_episodes=30, **settings)
    first, last = (row["rollout/ep_rew_mean"] for row in (result.metrics[0], result.metrics[-1]))
    print(f"return of the population: {first:.0f} at first, {last:.0f} at the end; test {result.evaluation.mean:.0f}")


if __name__ == "__main__":
    main()
