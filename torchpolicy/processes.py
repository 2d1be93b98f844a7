"""Processes and threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread while it lasts.

    The engine's operations are small, and threads that share cores slow them down many times over;
    how sums are split over threads would also show in the last bits of a result.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
