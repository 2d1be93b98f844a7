"""Environments that are functions of JAX, as a vector environment. This file is imported only when it is used.

Arrays and tensors cross without a copy, through DLPack. A slot's random numbers come from the seed of its episode, so
an episode is the same in any slot. JAX does not like to be forked: start several processes with ``torchrun``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from torch.utils.dlpack import from_dlpack

try:
    import jax
    import jax.numpy as jnp
except ImportError as error:
    raise ValueError("environments of JAX need the package jax: pip install jax") from error


class JaxVector(VectorEnv[Any, Any, Any]):
    """N environments that one function begins and another one steps, compiled and mapped over the N.

    Example::

        env = brax.envs.get_environment("inverted_pendulum")

        def step(key, state, action):
            state = env.step(state, action)
            return state.obs, state, state.reward, state.done > 0, False

        def make():
            return JaxVector(lambda key: ((state := env.reset(key)).obs, state), step, observations, actions, 256)

        tp.train(make, "snes", max_episode_steps=1000)

    Args:
        reset: key -> (observation (*O), state) of one environment.
        step: (key, state, action) -> (observation (*O), state, reward, terminated, truncated). It does not reset.
        observation_space: The space of one observation.
        action_space: The space of one action.
        num_envs: N.
    """

    def __init__(
        self,
        reset: Callable[[Any], tuple[Any, Any]],
        step: Callable[[Any, Any, Any], tuple[Any, Any, Any, Any, Any]],
        observation_space: Space[Any],
        action_space: Space[Any],
        num_envs: int = 256,
    ) -> None:
        self.num_envs, self.metadata = num_envs, {"autoreset_mode": AutoresetMode.DISABLED}
        self.single_observation_space, self.single_action_space = observation_space, action_space
        self._run = 0  # the seed of episodes that were given none

        def begin(seed: Any) -> Any:
            first, later = jax.random.split(jax.random.key(seed))
            observation, state = reset(first)
            return observation, (state, later)

        def advance(whole: Any, action: Any) -> Any:
            state, key = whole
            now, later = jax.random.split(key)
            observation, state, *numbers = step(now, state, action)
            return observation, (state, later), *numbers

        def choose(mask: Any, new: Any, old: Any) -> Any:
            return jax.tree.map(lambda one, other: jax.vmap(jnp.where)(mask, one, other), new, old)

        self._begin, self._advance, self._choose = jax.jit(jax.vmap(begin)), jax.jit(jax.vmap(advance)), jax.jit(choose)
        self._now: Any = None  # observations and states of all

    def reset(self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None) -> Any:
        """Begin episodes: all, or those of ``options["reset_mask"]`` (N,), with a seed of its own for each."""
        mask = (options or {}).get("reset_mask")
        seeds = self._seeds(seed)
        new = self._begin(jnp.asarray(seeds, jnp.uint32))
        self._now = new if mask is None else self._choose(jnp.asarray(mask), new, self._now)
        return _tensor(self._now[0]), {}

    def _seeds(self, seed: int | list[int] | None) -> Any:
        """The seeds (N,) that a reset stands for."""
        if seed is None:
            self._run += self.num_envs
            seed = self._run
        return np.arange(seed, seed + self.num_envs) if isinstance(seed, int) else np.asarray(seed)

    def step(self, actions: Any) -> Any:
        """Step all by actions (N, …), a tensor."""
        observations, states, *numbers = self._advance(self._now[1], jnp.from_dlpack(actions.contiguous()))
        self._now = observations, states
        return _tensor(observations), *map(_tensor, numbers), {}


def gymnax_vector(name: str, num_envs: int = 256, **parameters: Any) -> JaxVector:
    """N environments of gymnax.

    Args:
        name: A name that gymnax knows.
        num_envs: N.
        **parameters: Parameters of the environment, instead of its own.

    Raises:
        ValueError: If the package is missing, or a space is neither a Box nor Discrete.
    """
    try:
        import gymnax
    except ImportError as error:
        raise ValueError("gymnax_vector needs the package gymnax: pip install gymnax") from error
    env, usual = gymnax.make(name)
    chosen = usual.replace(**parameters)

    def step(key: Any, state: Any, action: Any) -> Any:
        observation, state, reward, terminated, _ = env.step_env(key, state, action, chosen)
        return observation, state, reward, terminated, env.is_truncated(state, chosen)

    spaces = (_space(env.observation_space(chosen)), _space(env.action_space(chosen)))
    return JaxVector(lambda key: env.reset_env(key, chosen), step, *spaces, num_envs)


def _space(space: Any) -> Space[Any]:
    """A space of gymnax as Gymnasium's."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind != "Box":
        raise ValueError(f"spaces of gymnax have to be Box or Discrete, got {kind}")
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), space.shape) for bound in (space.low, space.high))
    return Box(low, high, dtype=np.float32)


def _tensor(array: Any) -> torch.Tensor:
    """An array of JAX as a tensor on the same device; truth values travel as bytes."""
    is_bool = array.dtype == jnp.bool_
    tensor: torch.Tensor = from_dlpack(array.astype(jnp.uint8) if is_bool else array)
    return tensor.bool() if is_bool else tensor
