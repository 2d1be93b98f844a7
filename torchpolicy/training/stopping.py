"""What stopping episodes early carries from generation to generation: the reference, and how often it was wrong.

The grace, and how the reference is lowered, were chosen by replaying the partial returns of runs in which nothing was
stopped: in HalfCheetah, Swimmer, Walker2d, Hopper and both landers, seeds 200 and 201. What came of it, on other seeds,
is in ``experiments/README.md``.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.fields import Kind, check_fields, list_of, number, whole
from torchpolicy.base.types import Array, Metrics
from torchpolicy.rollout.outcome import Outcome
from torchpolicy.rollout.slots import Rollout
from torchpolicy.rollout.stopping import Reference, Stopping

FALLS = 5
"""Generations whose falls of the lowest score lower the reference."""

SPARED = 16
"""One of so many candidates plays to the end in any case, another one in each generation."""

FIELDS: dict[str, Kind] = {
    "curve": Kind("a tensor", lambda value: isinstance(value, Tensor)),
    "falls": list_of(number(0)),
    "judged": whole(),
    "wrong": whole(),
}
"""The fields of its state, and what each may be."""


class EarlyStopping:
    """Stops episodes that fall behind the better half of the generation before.

    The reference of a generation is the lowest partial score, at each look, of the better half of the generation
    before: those that searches such as SNES, CEM, CMA-ES and ARS learn from. So a stopped episode was lower than all of
    these had been at that step. It gets what it has, and what the reference still gains from there to its end, which is
    less than the lowest score of that half. The scores of the others do not change, and neither does the order of those
    that end above the reference.

    The episodes of two generations differ, and scores may fall from one to the next because a start is harder. So
    the reference is lowered, in proportion to the step, by the most that its end fell from one generation to the next
    lately. Before there are two generations nothing is stopped.

    What this assumes is that whoever has been behind for a while stays behind: rewards tell all along which episode is
    better. It is not so where the largest reward comes at the end. Where partial scores are all equal, nothing is
    stopped. Some candidates are spared, so that it is known how often the assumption fails.

    Args:
        rollout: The rollout that plays the candidates.
        step_penalty: Amount that is subtracted from the return for each step.
    """

    def __init__(self, rollout: Rollout, step_penalty: float) -> None:
        self._group, self._step_penalty = rollout.group, step_penalty
        self._curve: Array = np.empty(0)  # of the next reference; empty before there is one
        self._falls: list[float] = []  # of its end, in the last generations, each at least 0
        self._judged = self._wrong = 0  # spared candidates that fell behind, and those of them in the better half

    def of_generation(self, generation: int, population: int) -> Stopping:
        """What watches the episodes of a generation.

        Args:
            generation: Number of generations before this one.
            population: P, the number of candidates. A center that plays after them is spared.
        """
        reference = None
        if self._falls:
            looks = len(self._curve)
            reference = Reference(self._curve - max(self._falls) * np.arange(1, looks + 1) / looks)
        spared = (np.arange(population + 1) + generation) % SPARED == 0
        spared[population] = True
        return Stopping(reference, spared, self._step_penalty)

    def learn(self, stopping: Stopping, outcome: Outcome, scores: Array) -> Metrics:
        """Make the next reference.

        Args:
            stopping: What watched the episodes.
            outcome: What they came to.
            scores: (P,), the scores of the candidates; NaN for one that failed.

        Returns:
            The share of episodes that were stopped, and of the spared candidates that fell behind, in all generations
            so far, the share that came to be in the better half; this one is left out while there are none.
        """
        population = len(scores)
        whole = np.flatnonzero(np.isfinite(scores) & np.isfinite(outcome.returns[:population]).all(1))
        better = whole[np.argsort(-scores[whole], kind="stable")[: (len(whole) + 1) // 2]]
        if len(better):
            before, self._curve = self._curve, stopping.lowest(better, outcome, self._group)
            falls = [max(0.0, float(before[-1] - self._curve[-1]))] if len(before) else []
            self._falls = [*self._falls, *falls][-FALLS:]
        behind, stopped = outcome.behind[:population].any(1), outcome.stopped[:population]
        judged = np.intersect1d(np.flatnonzero(behind & ~stopped.any(1)), whole)
        self._judged += len(judged)
        self._wrong += len(np.intersect1d(judged, better))
        metrics = {"rollout/stopped": float(stopped.mean())}
        return metrics | ({"rollout/wrongly_stopped": self._wrong / self._judged} if self._judged else {})

    def forget(self) -> None:
        """Forget the reference, because the search has begun again: its candidates are worse than those it knew."""
        self._curve, self._falls = np.empty(0), []

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that :meth:`load_state_dict` needs to go on exactly."""
        return {
            "curve": torch.from_numpy(self._curve.copy()),
            "falls": list(self._falls),
            "judged": self._judged,
            "wrong": self._wrong,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it is none.
        """
        check_fields(state, FIELDS, FIELDS)
        curve, falls, judged, wrong = (state[name] for name in FIELDS)
        if curve.dtype != torch.float64 or curve.ndim != 1 or not curve.isfinite().all():
            raise ValueError("curve should be finite, (N,) of torch.float64")
        if falls and not len(curve):
            raise ValueError("curve should be there, because falls are")
        if wrong > judged:
            raise ValueError(f"wrong should be from 0 to judged, which is {judged}, got {wrong}")
        self._curve, self._falls, self._judged, self._wrong = curve.numpy().copy(), list(falls), judged, wrong
