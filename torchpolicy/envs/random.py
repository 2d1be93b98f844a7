"""Random numbers inside an episode: its key and a counter, mixed by integer arithmetic.

No slot, no process and no compiler changes a bit of them. Words of 32 bits are kept in int64, where no product
overflows. The constants are those of C. Wellons' ``lowbias32`` (https://nullprogram.com/blog/2018/07/31/), whose two
products reach every bit from every bit.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.types import Array

WORD, HALF = 0xFFFFFFFF, 0xFFFF
FIRST, SECOND, GOLDEN = 0x7FEB352D, 0x846CA68B - (WORD + 1), 0x9E3779B9  # no product of a word exceeds 63 bits

KEY_SIZE = 3
"""Numbers of a key: two halves of the episode's word, which float32 holds exactly, and how often it was drawn from."""


def new_key(rng: np.random.Generator) -> Array:
    """The key (3,) of an episode, float64, as a part of its first state."""
    return np.array([rng.integers(HALF + 1), rng.integers(HALF + 1), 0], np.float64)


def uniform(key: Sequence[Tensor], count: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor, Tensor]]:
    """Numbers from 0 to below 1, multiples of 2^-24, `count` of them for each slot.

    Args:
        key: The key, three tensors (S,) of the state.
        count: How many.

    Returns:
        The numbers, each (S,) in the dtype of the state, and the key to draw the next ones from.
    """
    if len(key) != KEY_SIZE:
        raise ValueError(f"key must be {KEY_SIZE} tensors of the state, got {len(key)}")
    low, high, draws = key
    numbers = _opaque(low, high, draws, count) if torch.compiler.is_compiling() else _drawn(low, high, draws, count)
    return numbers.unbind(), (low, high, draws + 1)


def _drawn(low: Tensor, high: Tensor, draws: Tensor, count: int) -> Tensor:
    """The numbers (count, S)."""
    word = low.to(torch.int64) + (high.to(torch.int64) << 16)
    mixed = _mix(_mix((draws.to(torch.int64) + GOLDEN) & WORD) ^ word)
    places = torch.arange(count, device=word.device).view(-1, *[1] * word.ndim) * GOLDEN
    return (_mix((mixed + places) & WORD) >> 8).to(low.dtype) * 2.0**-24


_opaque: Any = torch.library.custom_op("torchpolicy::drawn", _drawn, mutates_args=())
"""The same, left as it is by a compiler, which would take minutes: each word of a mix is used twice, and so on."""


@_opaque.register_fake  # type: ignore[untyped-decorator]
def _(low: Tensor, high: Tensor, draws: Tensor, count: int) -> Tensor:
    return low.new_empty(count, *low.shape)


def _mix(word: Tensor) -> Tensor:
    """Another word of 32 bits for each word; no two have the same."""
    word = ((word ^ (word >> 16)) * FIRST) & WORD
    word = ((word ^ (word >> 15)) * SECOND) & WORD
    return word ^ (word >> 16)
