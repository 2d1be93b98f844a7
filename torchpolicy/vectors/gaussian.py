"""Diagonal Gaussians over long vectors, in blocks that stay in a processor's cache.

A population of P vectors of length D can be a gigabyte. Each function goes over it once.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK, GPU_BLOCK = 2**18, 2**26
"""How many numbers to work on at a time, on the CPU and on a GPU."""


def draw(center: Tensor, std: Tensor, count: int, generator: torch.Generator, *, mirrored: bool = False) -> Tensor:
    """Candidates center + std * noise, (P, D). Noise comes from the CPU, whatever the device.

    Args:
        center: (D,).
        std: (D,).
        count: P.
        generator: The source of the noise.
        mirrored: Whether they come in pairs, rows 2i and 2i + 1 being center + std * noise and center - std * noise.
            P is even then.
    """
    candidates = torch.empty(count, len(center), dtype=center.dtype, device=center.device)
    rows = 2 * max(1, BLOCK // (2 * len(center)))
    for start in range(0, count, rows):
        block = candidates[start : start + rows]
        noise = torch.randn(
            len(block) // 2 if mirrored else len(block), len(center), generator=generator, dtype=center.dtype
        ).to(center.device)
        if mirrored:
            torch.addcmul(center, noise, std, out=block[0::2])
            torch.addcmul(center, noise, std, value=-1, out=block[1::2])
        else:
            torch.addcmul(center, noise, std, out=block)
    return candidates


def weighted_sum(candidates: Tensor, center: Tensor, weights: Tensor) -> Tensor:
    """sum_k w_k d_k, (D,), with deviations d_k = candidate_k - center.

    Args:
        candidates: (N, D).
        center: (D,).
        weights: (N,), w.
    """
    total, weights = torch.empty_like(center), weights.to(candidates)
    for part, deviations in _blocks(candidates, center):
        torch.mv(deviations.T, weights, out=total[part])
    return total


def weighted_sums(candidates: Tensor, center: Tensor, weights: Tensor, square_weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum_k w_k d_k and sum_k v_k d_k^2, (D,) each, with deviations d_k = candidate_k - center.

    Args:
        candidates: (N, D).
        center: (D,).
        weights: (N,), w.
        square_weights: (N,), v.
    """
    first, second = torch.empty_like(center), torch.empty_like(center)
    weights, square_weights = weights.to(candidates), square_weights.to(candidates)
    for part, deviations in _blocks(candidates, center):
        torch.mv(deviations.T, weights, out=first[part])
        torch.mv(deviations.square_().T, square_weights, out=second[part])
    return first, second


def mean_and_variance(candidates: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance, (D,) each, of some of the candidates.

    Args:
        candidates: (N, D).
        rows: (K,) int64, the rows of at least two candidates.
    """
    mean, variance = torch.empty_like(candidates[0]), torch.empty_like(candidates[0])
    columns, rows = _width(candidates, len(rows)), rows.to(candidates.device)
    for start in range(0, len(mean), columns):
        part = slice(start, start + columns)
        chosen = candidates[:, part].index_select(0, rows)
        torch.mean(chosen, 0, out=mean[part])
        torch.var(chosen, 0, out=variance[part])
    return mean, variance


def _blocks(candidates: Tensor, center: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Deviations of all candidates from the center, (N, C), for C dimensions at a time, and which these are."""
    columns = _width(candidates, len(candidates))
    for start in range(0, len(center), columns):
        part = slice(start, start + columns)
        yield part, candidates[:, part] - center[part]


def _width(candidates: Tensor, rows: int) -> int:
    """How many columns to work on at a time where there are so many rows."""
    return max(1, (BLOCK if candidates.device.type == "cpu" else GPU_BLOCK) // rows)
