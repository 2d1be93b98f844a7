"""A module of your own: two streams for position and velocity, trained by SNES on CartPole.

python experiments/examples/own_module.py
"""

import argparse

import torch
from torch import Tensor, nn

import torchpolicy as tp


class TwoStreams(nn.Module):
    """Positions and velocities are encoded apart. Takes observations (N, 4) and returns logits (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.velocities = nn.Linear(2, 8), nn.Linear(2, 8)
        self.out = nn.Linear(16, 2)

    def forward(self, observations: Tensor) -> Tensor:
        """Logits (N, 2) of observations (N, 4): position, velocity, angle, angular velocity."""
        streams = self.positions(observations[..., 0::2]), self.velocities(observations[..., 1::2])
        logits: Tensor = self.out(torch.cat(streams, -1).tanh())
        return logits


def main() -> None:
    """Train, save, and load with the same class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=200)
    generations = parser.parse_args().generations
    torch.manual_seed(0)  # the first weights are yours
    result = tp.train("CartPole-v1", "snes", policy=TwoStreams(), target=475, generations=generations)
    again = tp.load(result.run_dir, policy=TwoStreams())
    print(
        f"score {result.evaluation.mean:.0f}; loaded again: {tp.evaluate(again, 'CartPole-v1', episodes=20).mean:.0f}"
    )


if __name__ == "__main__":
    main()
