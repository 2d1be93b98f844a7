"""Watching the global random generators of Python, NumPy and torch, which neither a run nor its environment may use."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def watching_generators() -> Iterator[list[str]]:
    """Find out which global random generators a block of code uses, and restore their states afterwards.

    Yields:
        A list that is filled when the block ends, with "Python's", "NumPy's" and "torch's" if that generator was used.
    """
    moved: list[str] = []
    python, numpy, torch_state = random.getstate(), np.random.get_state(legacy=False), torch.get_rng_state()
    try:
        yield moved
    finally:
        if random.getstate() != python:
            moved.append("Python's")
        if not _equal(np.random.get_state(legacy=False), numpy):
            moved.append("NumPy's")
        if not torch.equal(torch.get_rng_state(), torch_state):
            moved.append("torch's")
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(torch_state)


def _equal(one: Any, other: Any) -> bool:
    """Whether two states of NumPy's generator are the same."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))
