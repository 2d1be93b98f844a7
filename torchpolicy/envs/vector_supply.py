"""The simulator that was looked at, kept for whoever plays: many of them cannot be made twice in one process."""

import os
import weakref
from collections.abc import Callable
from typing import Any

from gymnasium.vector import VectorEnv

from torchpolicy.base.user_code import blaming
from torchpolicy.envs.gym_slots import close_quietly

GymVector = VectorEnv[Any, Any, Any]


class Supply:
    """Hands out the vector environment that is at hand, and makes one when none is.

    Args:
        make: Makes one; an object instead is the only one that there is, and is never closed here.

    Attributes:
        is_object: Whether it is an object of the user's.
        lost: Whether one of them went wrong while it was played.
    """

    def __init__(self, make: Callable[[], GymVector] | GymVector) -> None:
        self.is_object = isinstance(make, VectorEnv)
        self._make: Callable[[], GymVector] = (lambda: make) if isinstance(make, VectorEnv) else make
        self._spare: weakref.finalize[..., Any] | None = None
        self._process, self.lost = os.getpid(), False

    def take(self) -> GymVector:
        """The one that is at hand, or a new one."""
        spare, self._spare = self._spare, None
        kept = spare.detach() if spare is not None else None
        if kept is not None and self._process == os.getpid():
            env: GymVector = kept[2][0]
            return env
        with blaming("making the vector environment failed"):
            return self._make()

    def keep(self, env: GymVector) -> None:
        """Have one at hand, for whoever takes the next; it is closed if nobody ever does."""
        if not self.is_object:
            self._spare = weakref.finalize(self, close_quietly, env)

    def release(self) -> None:
        """Close the one that is at hand: forked processes make their own."""
        if self._spare is not None:
            self._spare()
            self._spare = None

    def close(self, env: GymVector) -> None:
        """Close one that is no longer played."""
        if not self.is_object:
            close_quietly(env)

    def abandon(self, env: GymVector) -> None:
        """Close one whose state is unknown; Gymnasium's would wait for subprocesses that do not answer."""
        self.lost = True
        processes = () if self.is_object else getattr(env, "processes", ())
        for process in processes:
            process.kill()
            process.join()
        if processes:
            env.closed = True
        else:
            self.close(env)
