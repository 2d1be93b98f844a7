"""Weights and learning rates of covariance matrix adaptation, as functions of P and D.

Hansen (2016), "The CMA evolution strategy: a tutorial", arXiv 1604.00772, table 1. Numbers in parentheses are its own.
"""

from dataclasses import dataclass
from functools import cache
from math import exp, sqrt
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Adaptation:
    """What a generation of P candidates counts for in D dimensions.

    Attributes:
        weights: (P,) float64, from the worst to the best; the positive ones sum to 1.
        mass: mu_eff of the positive weights, where no two scores are equal (8).
        scale_rate: c_s, how fast the path of the scale forgets (55).
        damping: d_s (55).
        path_rate: c_c, how fast the path of the center forgets (56).
        rank_one: c_1, the learning rate of the path's outer product (57).
        rank_mu: c_mu, the learning rate of the candidates' outer products (58).
        expected: E|N(0, I)|, the length of a vector of D standard normal numbers.
    """

    weights: Tensor
    mass: float
    scale_rate: float
    damping: float
    path_rate: float
    rank_one: float
    rank_mu: float
    expected: float

    def growth(self, stretch: float) -> float:
        """The factor by which the scale grows (44), where p_s is `stretch` times as long as expected; e at most."""
        return exp(min(1.0, self.scale_rate / self.damping * (stretch - 1)))

    def kept_less(self, learns: float) -> float:
        """How much less of C is kept for the path's outer product; less of that where the path is not learned from."""
        return self.rank_one * (1 - (1 - learns) * self.path_rate * (2 - self.path_rate))


@cache
def adaptation(count: int, dim: int, *, diagonal: bool = False) -> Adaptation:
    """The defaults for P = count candidates in D = dim dimensions.

    Args:
        count: P.
        dim: D.
        diagonal: Whether only the diagonal is learned. It has fewer numbers to learn, so its rates are (D + 2) / 3
            times as large (Ros & Hansen 2008, "A simple modification in CMA-ES achieving linear time and space
            complexity"), and there are no negative weights.
    """
    places = torch.arange(count, 0, -1, dtype=torch.float64)  # P (worst) to 1 (best)
    raw = torch.tensor((count + 1) / 2, dtype=torch.float64).log() - places.log()  # (49)
    better, worse = raw.clamp(min=0), raw.clamp(max=0)
    mass = float(better.sum() ** 2 / better.square().sum())
    rank_one = 2 / ((dim + 1.3) ** 2 + mass)
    rank_mu = min(1 - rank_one, 2 * (1 / 4 + mass + 1 / mass - 2) / ((dim + 2) ** 2 + mass))
    weights = better / better.sum()
    if diagonal:
        faster = (dim + 2) / 3
        rank_one, rank_mu = min(1.0, rank_one * faster), min(1.0, rank_mu * faster)
        rank_mu = min(rank_mu, 1 - rank_one)
    elif bool((worse < 0).any()) and rank_mu > 0:
        worse_mass = float(worse.sum() ** 2 / worse.square().sum())
        limits = (1 + rank_one / rank_mu, 1 + 2 * worse_mass / (mass + 2), (1 - rank_one - rank_mu) / (dim * rank_mu))
        weights = weights + min(limits) * worse / worse.abs().sum()  # (50) to (53)
    scale_rate = (mass + 2) / (dim + mass + 5)
    return Adaptation(
        weights=weights,
        mass=mass,
        scale_rate=scale_rate,
        damping=1 + 2 * max(0.0, sqrt((mass - 1) / (dim + 1)) - 1) + scale_rate,
        path_rate=(4 + mass / dim) / (dim + 4 + 2 * mass / dim),
        rank_one=rank_one,
        rank_mu=rank_mu,
        expected=sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2)),
    )


def mass_of(weights: Tensor) -> float:
    """The number of equal candidates that weights (N,) are worth (8); their sum is 1, and none is negative."""
    return float(1 / weights.square().sum())


class Paths:
    """The ways that the center has gone lately, once in units of the distribution and once as they are.

    Args:
        like: (D,), a vector of the same kind.

    Attributes:
        scale_path: (D,), p_s.
        center_path: (D,), p_c.
    """

    def __init__(self, like: Tensor) -> None:
        self.scale_path, self.center_path = torch.zeros_like(like), torch.zeros_like(like)

    def follow(
        self, step: Tensor, whitened: Tensor, mass: float, rates: Adaptation, generation: int
    ) -> tuple[float, float]:
        """Add the center's last step.

        Args:
            step: (D,), y, the weighted mean of the better candidates' steps.
            whitened: (D,), C^(-1/2) y.
            mass: mu_eff of the weights of the candidates in y.
            rates: The learning rates.
            generation: Number of generations before this one.

        Returns:
            The length of p_s in units of its expected length, and h: 1, or 0 where p_s is too long for C to learn
            from p_c.
        """
        c_s, c_c, dim = rates.scale_rate, rates.path_rate, len(step)
        self.scale_path = (1 - c_s) * self.scale_path + sqrt(c_s * (2 - c_s) * mass) * whitened  # (43)
        stretch = float(torch.linalg.vector_norm(self.scale_path)) / rates.expected
        begun = sqrt(1 - (1 - c_s) ** (2 * (generation + 1)))  # at first the path is short
        learns = float(stretch < (1.4 + 2 / (dim + 1)) * begun)
        self.center_path = (1 - c_c) * self.center_path + learns * sqrt(c_c * (2 - c_c) * mass) * step  # (45)
        return stretch, learns

    def state_dict(self) -> dict[str, Any]:
        """Both paths, by their names."""
        return {"scale_path": self.scale_path.clone(), "center_path": self.center_path.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from saved paths.

        Raises:
            ValueError: If they do not fit.
        """
        for name, own in self.state_dict().items():
            saved = state.get(name)
            if not isinstance(saved, Tensor) or saved.shape != own.shape or not saved.isfinite().all():
                raise ValueError(f"{name} should be a finite tensor of shape {tuple(own.shape)}")
            setattr(self, name, saved.to(own, copy=True))
