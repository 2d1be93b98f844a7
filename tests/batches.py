"""Batches of episodes made by hand, and policies to learn from them."""

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import nn

from torchpolicy import Episodes, Policy

OBSERVATIONS = Box(-5, 5, (3,), np.float32)


def policy(kind: str, *, bias: bool = False) -> Policy:
    """A linear policy, ``discrete`` with three actions or ``box`` with two dimensions."""
    space = Discrete(3, start=2) if kind == "discrete" else Box(-1, 1, (2,), np.float32)
    net = nn.Linear(3, 3 if kind == "discrete" else 2, bias=bias)
    with torch.no_grad():
        net.weight.copy_(torch.randn(net.weight.shape, generator=torch.Generator().manual_seed(1)) / 2)
    return Policy(net, OBSERVATIONS, space)


def episodes(kind: str, lengths: list[int], rewards: list[float] | None = None, seed: int = 0) -> Episodes:
    """Random observations and choices; random rewards, unless they are given for each step."""
    rng, steps = np.random.default_rng(seed), sum(lengths)
    choices = rng.integers(0, 3, steps) if kind == "discrete" else rng.normal(size=(steps, 2)).astype(np.float32)
    return Episodes(
        torch.from_numpy(rng.normal(size=(steps, 3)).astype(np.float32)),
        torch.from_numpy(choices),
        torch.tensor(rng.normal(size=steps).tolist() if rewards is None else rewards, dtype=torch.float64),
        torch.tensor(lengths),
        torch.arange(len(lengths)),
    )


def softmax_score(weight: np.ndarray, x: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """(M, 3, 3), gradient of each log pi(c | x) of a linear softmax: x(s, a) - sum over b of pi(b | s) x(s, b)."""
    logits = x @ weight.T
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    rows = []
    for features, choice, pi in zip(x, choices, probabilities, strict=True):
        of_action = [np.outer(np.eye(3)[a], features) for a in range(3)]
        rows.append(of_action[choice] - sum(pi[b] * of_action[b] for b in range(3)))
    return np.array(rows)


def gaussian_score(weight: np.ndarray, std: np.ndarray, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(M, 2, 3), gradient of each log-density of u around a linear mean."""
    return np.array([np.outer((c - weight @ f) / std**2, f) for f, c in zip(x, u, strict=True)])
