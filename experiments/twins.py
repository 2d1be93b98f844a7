"""What an environment that is written on tensors and for Gymnasium needs: random numbers, rates, and a command."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout


class Drawn:
    """The random numbers of an episode's key, one at a time, in Python's whole numbers.

    Args:
        rng: The generator of the episode's first state, as the key of the form on tensors is drawn from it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        low, high, _ = tp.TensorEnv.new_key(rng)
        self._word = int(low) + (int(high) << 16)

    def number(self, step: int, index: int) -> float:
        """The number of a place in the draw of a step, from 0 to below 1."""
        drawn = _mix((step + 0x9E3779B9) & 0xFFFFFFFF)
        return (_mix((_mix(drawn ^ self._word) + index * 0x9E3779B9) & 0xFFFFFFFF) >> 8) * 2.0**-24


def _mix(word: int) -> int:
    word = (word ^ (word >> 16)) * 0x7FEB352D & 0xFFFFFFFF
    word = (word ^ (word >> 15)) * 0x846CA68B & 0xFFFFFFFF
    return word ^ (word >> 16)


def rate(env: Any, candidates: int, episodes: int = 4) -> float:
    """Environment steps per second of one process, without the first, warming round."""
    environment = make_environment(env)
    policy = tp.LinearPolicy(*environment.spaces)
    vectors = torch.randn(candidates, tp.ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    with make_rollout(environment, policy) as rollout:
        rollout.play(vectors[:32], range(1))
        begin = time.perf_counter()
        outcome = rollout.play(vectors, range(episodes))
        return outcome.env_steps / (time.perf_counter() - begin)


def compare(tensors: Any, single: Any, candidates: int = 1024) -> tuple[float, float]:
    """Print and return the rates of both; the single one plays a sixteenth of the candidates."""
    torch.set_num_threads(1)
    one, other = rate(tensors, candidates), rate(single, candidates // 16)
    print(f"{tensors.__name__}: {one:,.0f} steps/s   {single.__name__}: {other:,.0f} steps/s   {one / other:.1f} times")
    return one, other


def main(about: str | None, train: Callable[[], tp.Result], tensors: Any, single: Any) -> None:
    """The command of an environment, which is described by `about`: train in it, or compare the rates of its forms."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "speed"))
    if parser.parse_args().what == "train":
        print(train())
    else:
        compare(tensors, single)
