"""Useful env steps per second of CEM with a linear policy on gymnax's CartPole-v1, with a whole generation jitted.

A generation asks, plays one episode of each candidate in a scan of 500 steps, and tells. Steps up to the end of each
episode are useful. The script uses `step_env`, which does not reset ended episodes and so is faster than `step`.

python cartpole_gymnax.py POPULATION GENERATIONS SEED
"""

import json
import os
import sys
import time
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import gymnax
import jax
import jax.numpy as jnp

population, generations, seed = (int(argument) for argument in sys.argv[1:])
ELITE = max(2, round(0.1 * population))
env, params = gymnax.make("CartPole-v1")


def play(weights: jax.Array, key: jax.Array) -> jax.Array:
    """Steps of one episode that is played with weights (10,): 2 x 4, and a bias for each action."""
    matrix, bias = weights[:8].reshape(2, 4), weights[8:]
    observation, state = env.reset_env(key, params)

    def step(carry: tuple[Any, ...], _: None) -> tuple[Any, None]:
        observation, state, alive, steps = carry
        action = jnp.argmax(matrix @ observation + bias)
        observation, state, _, done, _ = env.step_env(key, state, action, params)
        return (observation, state, alive & ~done, steps + alive), None

    begun = observation, state, jnp.array(True), jnp.array(0)
    return jax.lax.scan(step, begun, None, 500)[0][-1]


@jax.jit  # type: ignore[untyped-decorator]
def generation(mean: jax.Array, std: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """One generation of CEM: the next mean and std, and the steps that were played."""
    noise, episodes = jax.random.split(key)
    candidates = mean + std * jax.random.normal(noise, (population, 10))
    steps = jax.vmap(play)(candidates, jax.random.split(episodes, population))
    elite = candidates[jax.lax.top_k(steps, ELITE)[1]]
    return elite.mean(0), elite.std(0, ddof=1), steps.sum()


def run(seed: int) -> tuple[int, float]:
    """Steps and seconds of all generations."""
    key, mean, std, total = jax.random.PRNGKey(seed), jnp.zeros(10), jnp.ones(10), 0
    begin = time.perf_counter()
    for _ in range(generations):
        key, now = jax.random.split(key)
        mean, std, steps = generation(mean, std, now)
        total += int(steps)
    return total, time.perf_counter() - begin


begin = time.perf_counter()
jax.block_until_ready(generation(jnp.zeros(10), jnp.ones(10), jax.random.PRNGKey(seed + 1000)))
compiling = time.perf_counter() - begin
processor = time.process_time()
steps, seconds = run(seed)
answer = {"generations": generations, "steps": steps, "seconds": seconds, "rate": steps / seconds}
print(json.dumps(answer | {"compile": compiling, "cores": (time.process_time() - processor) / seconds}))
