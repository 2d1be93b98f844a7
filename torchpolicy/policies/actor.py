"""A policy in a loop of one's own, with what it remembers."""

from typing import Any

from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.state import State


class Actor:
    """Acts step by step, and keeps the state of a recurrent policy from one step to the next.

    It serves for policies without a state as well. Actions are greedy::

        actor = Actor(policy)
        actor.reset()
        obs, over = env.reset()[0], False
        while not over:
            obs, _, terminated, truncated, _ = env.step(actor(obs))
            over = terminated or truncated

    Args:
        policy: The policy.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._state: State = None

    def reset(self) -> None:
        """Begin a new episode, or as many as there are observations in the next call."""
        self._state = None

    def __call__(self, obs: Any) -> Any:
        """The action for one observation (*O), or actions for a batch (N, *O), as :meth:`Policy.act` returns them."""
        if not self.policy.recurrent:
            return self.policy.act(obs)
        action, self._state = self.policy.act(obs, self._state)
        return action
