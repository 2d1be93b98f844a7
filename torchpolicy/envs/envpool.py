"""EnvPool's environments, stepped by threads in C++, as a vector environment. This file is imported when asked for."""

from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv

try:
    import envpool
except ImportError as error:
    raise ValueError("backend='envpool' needs the package envpool: pip install envpool") from error


class EnvPool(VectorEnv[Any, Any, Any]):
    """N environments of an id that EnvPool has. It resets them by itself, in the step after the end of an episode.

    Where Gymnasium has the id, too, spaces and the threshold are Gymnasium's, so that a policy fits both.

    Args:
        name: The id.
        max_episode_steps: Time limit in steps, instead of the environment's own.
        num_envs: N.
        **args: Keywords of ``envpool.make``, such as ``num_threads``, and of the environment.

    Attributes:
        differences: A line that names what its description has different from Gymnasium's of the same id; empty if
            nothing is.

    Raises:
        ValueError: If EnvPool does not have it, or it observes or takes something else than Gymnasium's.
    """

    def __init__(self, name: str, max_episode_steps: int | None, num_envs: int, **args: Any) -> None:
        if name not in envpool.list_all_envs():
            raise ValueError(f"EnvPool has no {name}")
        limit = {} if max_episode_steps is None else {"max_episode_steps": max_episode_steps}
        self._settings = {"env_type": "gymnasium", "num_envs": num_envs, **limit, **args}
        self._name, self._seeded = name, False
        self._pool = envpool.make(name, **self._settings)
        self.num_envs, self.metadata = num_envs, {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = self._pool.single_observation_space
        self.single_action_space = self._pool.single_action_space
        self._action_dtype = self.single_action_space.dtype
        self.differences = f"Gymnasium has no {name} that EnvPool's could be compared with"
        if name in gymnasium.registry:
            self._compare(max_episode_steps)

    def _compare(self, max_episode_steps: int | None) -> None:
        """Take Gymnasium's spaces and description, and note what is different in EnvPool's."""
        theirs = gymnasium.make(self._name, disable_env_checker=True)
        spaces = theirs.observation_space, theirs.action_space
        spec = self.spec = deepcopy(gymnasium.spec(self._name))
        theirs.close()
        found = []
        for what, own, other in zip(("observations", "actions"), self._own_spaces(), spaces, strict=True):
            if type(own) is not type(other) or own.shape != other.shape:
                raise ValueError(f"EnvPool's {self._name} has {what} in {own}, Gymnasium's in {other}")
            found += [] if own == other else [f"the bounds or the dtype of {what}"]
        config = self._pool.config
        facts = {"reward_threshold": spec.reward_threshold}
        facts |= {"max_episode_steps": spec.max_episode_steps} if max_episode_steps is None else {}
        found += [f"{key} {config[key]} (Gymnasium: {value})" for key, value in facts.items() if config[key] != value]
        spec.max_episode_steps = config["max_episode_steps"]
        self.single_observation_space, self.single_action_space = spaces
        self.differences = f"EnvPool's {self._name} differs from Gymnasium's in {', '.join(found)}" if found else ""

    def _own_spaces(self) -> tuple[Any, Any]:
        return self._pool.single_observation_space, self._pool.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Reset all environments. EnvPool takes a seed only when it is made, so the first one counts for good."""
        if seed is not None and not self._seeded:
            self._pool.close()
            self._pool, self._seeded = envpool.make(self._name, **self._settings, seed=int(seed)), True
        return self._pool.reset()

    def step(self, actions: Any) -> Any:
        """Step all environments, by actions (N, …)."""
        return self._pool.step(np.asarray(actions, self._action_dtype))

    def close_extras(self, **settings: Any) -> None:
        """Release the threads."""
        self._pool.close()
