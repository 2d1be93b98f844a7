"""Six functions of BBOB, and the record of a run on one of them; NumPy alone, so that peers' scripts can import it.

Hansen, Finck, Ros & Auger (2009), "Real-parameter black-box optimization benchmarking 2009: noiseless functions
definitions", INRIA RR-6829, numbered as there. Optima and rotations are drawn anew here: an instance is not COCO's
instance of the same number, but one of the same kind. The smallest value of every function is 0.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NAMES = {
    1: "sphere",
    2: "ellipsoid",
    8: "Rosenbrock",
    10: "rotated ellipsoid",
    15: "Rastrigin",
    20: "Schwefel",
}
TARGETS = (1e-3, 1e-8)
PEAK = 4.2096874633
"""The place of Schwefel's optimum, in units of half of its signs."""


@dataclass(frozen=True)
class Problem:
    """A function with its optimum and its rotations.

    Attributes:
        function: Its number, one of `NAMES`.
        optimum: (D,), where its value is 0.
        first: (D, D), the rotation R.
        second: (D, D), the rotation Q.
    """

    function: int
    optimum: Array
    first: Array
    second: Array

    def __call__(self, x: Array) -> Array:
        """Values (N,) of points (N, D)."""
        value: Array = FUNCTIONS[self.function](self, x)
        return value


def make_problem(function: int, dim: int, instance: int) -> Problem:
    """The instance of a function in D = dim dimensions that belongs to a number."""
    random = np.random.default_rng([function, dim, instance])
    optimum = random.uniform(-4, 4, dim)
    if function == 8:
        optimum = 0.75 * optimum
    if function == 20:
        optimum = PEAK / 2 * np.sign(optimum)
    first, second = (_rotation(dim, random) for _ in range(2))
    return Problem(function, optimum, first, second)


def start_of(dim: int, instance: int) -> Array:
    """Where every search starts, (D,), uniform in [-4, 4]."""
    return np.random.default_rng([dim, instance]).uniform(-4, 4, dim)


def _rotation(dim: int, random: np.random.Generator) -> Array:
    """An orthogonal matrix (D, D), uniform among all of them."""
    basis, upper = np.linalg.qr(random.standard_normal((dim, dim)))
    rotation: Array = basis * np.sign(np.diag(upper))
    return rotation


def _places(dim: int) -> Array:
    """(i - 1) / (D - 1) for i = 1 to D, (D,)."""
    return np.linspace(0, 1, dim)


def _oscillate(x: Array) -> Array:
    """T_osz: small waves around the identity, (N, D)."""
    exponent = np.log(np.abs(np.where(x == 0, 1, x)))
    fast, slow = np.where(x > 0, 10, 5.5), np.where(x > 0, 7.9, 3.1)
    waves: Array = np.sign(x) * np.exp(exponent + 0.049 * (np.sin(fast * exponent) + np.sin(slow * exponent)))
    return waves


def _bend(x: Array, strength: float) -> Array:
    """T_asy: positive numbers grow faster, the later ones more, (N, D)."""
    positive = np.maximum(x, 0)
    bent: Array = np.where(x > 0, positive ** (1 + strength * _places(x.shape[1]) * np.sqrt(positive)), x)
    return bent


def _sphere(problem: Problem, x: Array) -> Array:
    value: Array = ((x - problem.optimum) ** 2).sum(1)
    return value


def _weigh(z: Array) -> Array:
    """An ellipsoid's value (N,), condition 1e6."""
    value: Array = z**2 @ 10 ** (6 * _places(z.shape[1]))
    return value


def _ellipsoid(problem: Problem, x: Array) -> Array:
    return _weigh(_oscillate(x - problem.optimum))


def _rosenbrock(problem: Problem, x: Array) -> Array:
    z = max(1, x.shape[1] ** 0.5 / 8) * (x - problem.optimum) + 1
    value: Array = (100 * (z[:, :-1] ** 2 - z[:, 1:]) ** 2 + (z[:, :-1] - 1) ** 2).sum(1)
    return value


def _rotated_ellipsoid(problem: Problem, x: Array) -> Array:
    return _weigh(_oscillate((x - problem.optimum) @ problem.first.T))


def _rastrigin(problem: Problem, x: Array) -> Array:
    bent = _bend(_oscillate((x - problem.optimum) @ problem.first.T), 0.2)
    z = (bent @ problem.second.T * 10 ** (0.5 * _places(x.shape[1]))) @ problem.first.T
    value: Array = 10 * (x.shape[1] - np.cos(2 * np.pi * z).sum(1)) + (z**2).sum(1)
    return value


def _schwefel(problem: Problem, x: Array) -> Array:
    twice = 2 * np.abs(problem.optimum)
    mirrored = 2 * np.sign(problem.optimum) * x
    sheared = mirrored.copy()
    sheared[:, 1:] += 0.25 * (mirrored[:, :-1] - twice[:-1])
    z = 100 * (10 ** (0.5 * _places(x.shape[1])) * (sheared - twice) + twice)
    outside: Array = np.maximum(np.abs(z / 100) - 5, 0) ** 2
    waves: Array = (z * np.sin(np.sqrt(np.abs(z)))).mean(1)
    value: Array = 4.189828872724339 - waves / 100 + 100 * outside.sum(1)
    return value


FUNCTIONS = {1: _sphere, 2: _ellipsoid, 8: _rosenbrock, 10: _rotated_ellipsoid, 15: _rastrigin, 20: _schwefel}


@dataclass
class Run:
    """Scores candidates, and counts them until the best is within the last target of the optimum.

    A run is over as well when its budget is used, or when the best value has not become smaller for too long.

    Attributes:
        problem: The function.
        budget: The most evaluations that are allowed; the last generation is finished.
        patience: The share of them after which a run without a better value is over.
        evaluations: How many there were.
        best: The smallest value.
        found: The number of the evaluation that did so.
        reached: The number of the first evaluation within each target.
    """

    problem: Problem
    budget: int
    patience: float = 0.1
    evaluations: int = 0
    best: float = np.inf
    found: int = 0
    reached: dict[float, int] = field(default_factory=dict)

    def __call__(self, x: Array) -> Array:
        """Values (N,) of candidates (N, D)."""
        values = self.problem(x)
        for target in TARGETS:
            if target not in self.reached and (values <= target).any():
                self.reached[target] = self.evaluations + int((values <= target).argmax()) + 1
        if values.min() < self.best:
            self.best, self.found = float(values.min()), self.evaluations + int(values.argmin()) + 1
        self.evaluations += len(values)
        return values

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        done = TARGETS[-1] in self.reached or self.evaluations >= self.budget
        return done or self.evaluations - self.found > self.patience * self.budget

    def row(self, instance: int) -> dict[str, Any]:
        """What is kept of the run."""
        reached = [self.reached.get(target) for target in TARGETS]
        return {"instance": instance, "reached": reached, "evaluations": self.evaluations, "best": self.best}
