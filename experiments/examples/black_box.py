"""Tuning without reinforcement learning: CMA-ES fits a pendulum's length and friction to measured angles.

python experiments/examples/black_box.py
"""

import argparse

import torch
from torch import Tensor

import torchpolicy as tp

TRUE = torch.tensor([0.8, 0.3])
"""Length in m and friction in 1/s, with which the measurements are made."""


def angles(parameters: Tensor, steps: int = 200, dt: float = 0.02) -> Tensor:
    """Angles (N, steps) of pendulums with parameters (N, 2), released at 2 rad."""
    length, friction = parameters.unbind(1)
    angle, speed, seen = torch.full_like(length, 2.0), torch.zeros_like(length), []
    for _ in range(steps):
        speed = speed + dt * (-9.81 / length * angle.sin() - friction * speed)
        angle = angle + dt * speed
        seen.append(angle)
    return torch.stack(seen, 1)


def main() -> None:
    """Ask for candidates, compute their errors, tell them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=40)
    generations = parser.parse_args().generations
    torch.manual_seed(0)
    measured = angles(TRUE[None])[0]
    measured = measured + 0.01 * torch.randn(len(measured))
    search = tp.CMAES(torch.tensor([1.5, 1.0]), std=0.3, bounds=(0.05, 3.0), maximize=False)
    for _ in range(generations):
        candidates = search.ask()
        assert isinstance(candidates, Tensor)
        search.tell(candidates, (angles(candidates) - measured).square().mean(1))
    length, friction = search.center.tolist()
    print(f"length {length:.2f} m (true {TRUE[0]:.2f}), friction {friction:.2f} (true {TRUE[1]:.2f})")


if __name__ == "__main__":
    main()
