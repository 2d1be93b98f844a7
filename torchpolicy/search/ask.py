"""Somebody else's optimizer as a search."""

import inspect
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, finfo

from torchpolicy.base.checkpoints import check_saveable
from torchpolicy.base.types import Array, Metrics
from torchpolicy.search.base import Search
from torchpolicy.vectors.dense import as_population
from torchpolicy.vectors.population import Candidates

SIZES = ("popsize", "population_size")
"""Attributes by which optimizers call the number of their candidates."""


class Ask(Search):
    """Turns an object with ``ask`` and ``tell`` into a search, so that :func:`torchpolicy.train` can use it.

    Example::

        import cma

        vector = ParamVector(policy.net)
        search = Ask(cma.CMAEvolutionStrategy(vector.read().numpy(), 0.3, {"seed": 1, "verbose": -9}))
        train("CartPole-v1", search, policy=policy)

    Three habits are understood. ``ask()`` returns all candidates, (P, D) or a list of vectors, and ``tell(candidates,
    values)`` takes them back with their values, as in pycma. Or ``ask()`` returns one vector, and ``tell([(vector,
    value), …])`` takes all of them at once, as in cmaes. Or ``ask()`` returns an object with a ``value`` attribute, and
    ``tell(object, value)`` takes one at a time, as in Nevergrad. Values are to be minimised, unless
    `minimizes` is False.

    The center is the optimizer's ``mean``, or its ``recommend().value``; otherwise it is the mean of the better half of
    the last candidates. An optimizer without a ``state_dict`` and a ``load_state_dict`` cannot be saved, so a run with
    it cannot be resumed. It is the same for any number of processes if the optimizer has its own seed and can be
    pickled. A candidate that failed is told as the worst of its generation; if all failed, all are told as equal.

    Args:
        optimizer: The object.
        center: (D,), where it starts. If not set, it is the optimizer's mean.
        population: P, the number of candidates in a generation. If not set, it is the optimizer's own number, or 4 +
            floor(3 ln D).
        minimizes: Whether the optimizer minimises what it is told.
        maximize: Whether higher scores are better.

    Attributes:
        resumable: Whether the optimizer can be saved.

    Raises:
        ValueError: If the object has no ask and tell, or no center is known.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        center: Tensor | None = None,
        population: int | None = None,
        minimizes: bool = True,
        maximize: bool = True,
    ) -> None:
        if not callable(getattr(optimizer, "ask", None)) or not callable(getattr(optimizer, "tell", None)):
            raise ValueError(f"optimizer must have the methods ask and tell, got {type(optimizer).__name__}")
        found = _mean_of(optimizer) if center is None else center
        if found is None:
            raise ValueError(f"center is needed: {type(optimizer).__name__} has neither a mean nor a recommend()")
        if population is None:
            population = next((int(getattr(optimizer, name)) for name in SIZES if hasattr(optimizer, name)), None)
        start = found if isinstance(found, Tensor) else torch.as_tensor(found, dtype=torch.float32)
        super().__init__(start, population=population, maximize=maximize)
        self.optimizer = optimizer
        self.minimizes = minimizes
        self.resumable = hasattr(optimizer, "state_dict") and hasattr(optimizer, "load_state_dict")
        if self.resumable:
            try:
                check_saveable(optimizer.state_dict())
            except TypeError as error:
                raise ValueError(f"the state_dict of {type(optimizer).__name__} cannot be saved: {error}") from error
        self._fixed = population is not None
        self._asked: Sequence[Any] = ()  # what the optimizer returned, as it was
        self._told = True

    def _sample(self) -> Candidates:
        first = self.optimizer.ask()
        if hasattr(first, "value") or _is_vector(first):  # one at a time
            self._asked = [first, *(self.optimizer.ask() for _ in range(self.population - 1))]
        else:
            self._asked = first
        try:
            vectors = np.stack([np.asarray(getattr(each, "value", each), dtype=np.float64) for each in self._asked])
        except (TypeError, ValueError) as error:
            expected = f"vectors ({self.dim},), or objects with a value"
            raise ValueError(f"ask() must return {expected}, got {type(first).__name__}") from error
        if vectors.shape[1:] != (self.dim,):
            raise ValueError(f"{type(self.optimizer).__name__} asks for vectors {vectors.shape[1:]}, not ({self.dim},)")
        if self._fixed and len(vectors) != self.population:
            raise ValueError(f"ask() returns {len(vectors)} candidates, and population is {self.population}")
        self.population, self._told = len(vectors), False
        return torch.from_numpy(vectors).to(self.center)

    @torch.no_grad()
    def tell(self, candidates: Candidates, scores: Tensor) -> Metrics:
        scores = torch.as_tensor(scores, dtype=torch.float64).to("cpu", copy=True)
        fine = scores.abs() < finfo(self.center.dtype).max ** 0.5
        scores[~fine] = (scores[fine].min() if self.maximize else scores[fine].max()) if fine.any() else 0.0
        metrics = super().tell(candidates, scores)
        if not self._told:  # because all are equal
            self._update(as_population(candidates, self.center).dense(), scores if self.maximize else -scores)
        return metrics | {"search/failed": float((~fine).sum())}

    def _update(self, candidates: Tensor, scores: Tensor) -> Metrics:
        self._told = True
        values = (-scores if self.minimizes else scores).tolist()
        vectors = self._asked if len(self._asked) == len(values) else list(candidates.cpu().double().numpy())
        if hasattr(vectors[0], "value"):
            for each, value in zip(vectors, values, strict=True):
                self.optimizer.tell(each, value)
        elif _takes_pairs(self.optimizer):
            self.optimizer.tell(list(zip(vectors, values, strict=True)))
        else:
            self.optimizer.tell(vectors, values)
        mean = _mean_of(self.optimizer)
        better = candidates[scores >= scores.median()].mean(0)
        self.center = better if mean is None else torch.as_tensor(np.array(mean, dtype=np.float64)).to(self.center)
        return {}

    def state_dict(self) -> dict[str, Any]:
        own = {"optimizer": deepcopy(self.optimizer.state_dict())} if self.resumable else {}
        return super().state_dict() | own

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._asked = ()


def _is_vector(answer: Any) -> bool:
    """Whether an answer is one vector, and not several."""
    try:
        return np.ndim(answer) == 1 and not hasattr(answer[0], "value")
    except (TypeError, ValueError, IndexError, KeyError):
        return False


def _mean_of(optimizer: Any) -> Array | None:
    """The point that an optimizer recommends, (D,); None if nobody knows it."""
    for name in ("mean", "_mean"):
        found = getattr(optimizer, name, None)
        if found is not None and not callable(found) and np.ndim(found) == 1:
            return np.array(found, dtype=np.float64)
    if callable(getattr(optimizer, "recommend", None)):
        return np.asarray(getattr(optimizer.recommend(), "value", None), dtype=np.float64)
    return None


def _takes_pairs(optimizer: Any) -> bool:
    """Whether ``tell`` takes one list, of candidates with their values."""
    required = [
        each
        for each in inspect.signature(optimizer.tell).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return len(required) == 1
