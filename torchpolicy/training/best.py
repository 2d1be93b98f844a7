"""The policy with the best held-out score of a run."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from torch import Tensor


class Best:
    """Keeps a copy of the policy whenever its held-out score is the best so far, or as good.

    Attributes:
        score: The best score; None before the first.
        generation: The generation after which it was reached.
        policy: The ``state_dict`` of the policy then; empty before the first.
    """

    def __init__(self) -> None:
        self.score: float | None = None
        self.generation = 0
        self.policy: dict[str, Tensor] = {}

    def take(self, score: float, generation: int, policy: Mapping[str, Tensor]) -> None:
        """Take a held-out score into account.

        Args:
            score: The score. One that is not finite does not count.
            generation: Generations done.
            policy: The ``state_dict`` of the policy.
        """
        if isfinite(score) and (self.score is None or score >= self.score):
            self.score, self.generation = score, generation
            self.policy = {name: tensor.clone() for name, tensor in policy.items()}

    def state_dict(self) -> dict[str, Any]:
        """The attributes, by their names; tensors are never changed in place, and so not copied."""
        return {"score": self.score, "generation": self.generation, "policy": dict(self.policy)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.score, self.generation, self.policy = state["score"], state["generation"], dict(state["policy"])
