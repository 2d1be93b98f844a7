"""Calling the callbacks of a run in one process, such that all processes come to the same end."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torchpolicy.base.checkpoints import check_saveable
from torchpolicy.base.errors import RunError
from torchpolicy.base.processes import Group
from torchpolicy.base.user_code import STOPS, in_a_line
from torchpolicy.training.callbacks import Callback

ENDING = ("on_generation_end", "on_evaluation")
"""Hooks that may end a run."""


class Callbacks:
    """Calls callbacks, one after the other, in the first process of a group; all processes come to the same end.

    Args:
        callbacks: The callbacks of the run. Every process has copies of them.
        group: The processes of the run.

    Attributes:
        asked: Whether a callback has asked this process to end the run.
        blame: Which callback failed first, in which hook, and how; empty if none did.
    """

    def __init__(self, callbacks: Sequence[Callback], group: Group) -> None:
        self._callbacks = {f"{place} {type(each).__name__}": each for place, each in enumerate(callbacks)}
        self._group = group
        self._states: dict[str, Any] = {key: {} for key in self._callbacks}  # the last that could be had
        self._error: BaseException | None = None
        self.asked = False
        self.blame = ""

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of each callback. An exception of one is kept for :meth:`check`."""
        if self._group.rank != 0:
            return
        for callback in self._callbacks.values():
            with self._blaming(callback, hook):
                answer = getattr(callback, hook)(*arguments)
                if hook in ENDING:
                    self.asked |= bool(answer)
                if hook == "on_generation_end":
                    _make_plain(arguments[1])

    def over(self) -> bool:
        """Whether a callback has asked for the end; the same answer in every process."""
        return bool(self._callbacks) and bool(self._group.first(float(self.asked)))

    def check(self) -> None:
        """See that no callback has failed.

        Raises:
            RunError: If one has. It is raised in every process.
        """
        if self._callbacks and self._group.first(float(bool(self.blame))):
            raise RunError(self._group.gather(self.blame)[0]) from self._error

    def state_dict(self) -> dict[str, Any]:
        """A copy of each callback's state, by its place and name; the state before, if it cannot be had now."""
        if self._group.rank == 0:
            for key, callback in self._callbacks.items():
                with self._blaming(callback, "state_dict"):
                    state = callback.state_dict()
                    check_saveable(state)
                    self._states[key] = copy.deepcopy(state)
        return dict(self._states)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state. Callbacks that were not there when it was saved start anew."""
        if self._group.rank != 0:
            return
        for key, callback in self._callbacks.items():
            if state.get(key):
                with self._blaming(callback, "load_state_dict"):
                    callback.load_state_dict(copy.deepcopy(state[key]))

    @contextmanager
    def _blaming(self, callback: Callback, hook: str) -> Iterator[None]:
        try:
            yield
        except STOPS:
            raise
        except BaseException as error:
            if not self.blame:
                self._error = error
                self.blame = f"the callback {type(callback).__name__} failed in {hook}: {in_a_line(error)}"


def _make_plain(metrics: dict[str, float]) -> None:
    """Turn metrics that a callback added into plain numbers, which can be written."""
    for key, value in list(metrics.items()):
        if type(value) not in (int, float):
            try:
                metrics[key] = float(value)
            except (TypeError, ValueError, RuntimeError) as error:
                del metrics[key]
                raise ValueError(f"the metric {key} should be a number, got {value!r}") from error


def check_callbacks(callbacks: Sequence[object]) -> list[Callback]:
    """The callbacks that a user gave, as a list.

    Raises:
        ValueError: If one of them is not a callback.
    """
    if not isinstance(callbacks, Sequence):
        raise ValueError(f"callbacks should be a list of callbacks, got {callbacks!r}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ValueError(f"a callback should be a torchpolicy.callbacks.Callback, an object, got {callback!r}")
    return list(callbacks)  # type: ignore[arg-type]
