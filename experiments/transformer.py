"""A small transformer of one's own as a policy: CartPole-v1 with hidden velocities, seen through a window of 8 steps.

NES perturbs it with noise of rank 1 in every projection; `tp.train` takes it as it takes any module. The same search
also trains a multilayer perceptron on the same window, of about as many weights.

python experiments/transformer.py        prints the scores of seeds 0 to 4, and writes results/transformer.json
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from benchmarks.machine import describe
from gymnasium import Space
from gymnasium.spaces import Box
from torch import Tensor, nn

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "transformer.json"
WINDOW, WIDTH, HEADS = 8, 16, 2


class Block(nn.Module):
    """Attention over all steps of the window, then two layers at each of them; each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.layers = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.before(x)
        query, key, value = (
            layer(normed).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )  # (N, heads, steps, width of a head)
        weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).flatten(2))
        added: Tensor = self.layers(self.between(x))
        return x + added


class Transformer(nn.Module):
    """Two blocks between an embedding of each step and an output for the last one."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.embed, self.places = nn.Linear(features, WIDTH), nn.Parameter(torch.zeros(WINDOW, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.last = nn.Linear(WIDTH, outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.blocks(self.embed(x) + self.places)[:, -1])
        return outputs


def window(**settings: Any) -> gymnasium.Env[Any, Any]:
    """CartPole-v1's position and angle at the last 8 steps, (8, 2)."""
    made = gymnasium.make("CartPole-v1", **settings)
    space = Box(-np.inf, np.inf, (2,), np.float32)
    seen = gymnasium.wrappers.TransformObservation(
        made, lambda obs: np.asarray(obs, np.float32)[[0, 2]] * [1, 10], space
    )
    return gymnasium.wrappers.FrameStackObservation(seen, WINDOW)


def transformer(observation_space: Space[Any], action_space: Space[Any]) -> nn.Module:
    """The module, with weights of its own seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Transformer(2, 2)


def main() -> None:
    """Run, print, write."""
    rows = []
    for seed in range(5):
        for name, policy in (("transformer", {"policy": transformer}), ("mlp", {"policy_args": {"hidden": (64, 64)}})):
            with tempfile.TemporaryDirectory() as folder:
                result = tp.train(
                    window, "nes", seed=seed, noise_rank=1, total_steps=500_000, target=475, log_dir=folder, **policy
                )
            steps, weights = result.metrics[-1]["rollout/env_steps"], tp.ParamVector(result.policy.net).dim
            row = {"policy": name, "weights": weights, "seed": seed, "mean": result.evaluation.mean, "env_steps": steps}
            rows.append(row)
            print(row, flush=True)
            RESULTS.write_text(json.dumps({**describe(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
