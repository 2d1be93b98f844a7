"""The sub-environments of a vector environment as slots, in each of Gymnasium's three autoreset modes."""

import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode

from torchpolicy.base.checks import LONGEST_EPISODE
from torchpolicy.base.errors import CodeError
from torchpolicy.base.types import Array
from torchpolicy.base.user_code import STOPS, in_a_line, is_exhausted, shortly
from torchpolicy.envs.base import EnvSlots
from torchpolicy.envs.gym_slots import EXPECTED, NUMBERS
from torchpolicy.envs.vector_arrays import AnswerError, as_array, idle_action
from torchpolicy.envs.vector_supply import GymVector, Supply
from torchpolicy.policies.parts.encoders import Encoder, ObservationError

FINAL = ("final_obs", "final_observation")
"""Names that the last observations of episodes have among the infos, with Gymnasium and with others."""


class Kind(NamedTuple):
    """What kind of vector environment it is.

    Attributes:
        width: N, the number of sub-environments.
        mode: When a sub-environment is reset after the end of its episode.
        seeded: Whether a reset takes a list of seeds, one for each sub-environment.
        device: Where its tensors are; None if it takes and returns NumPy arrays.
    """

    width: int
    mode: AutoresetMode
    seeded: bool
    device: torch.device | None

    @property
    def masked(self) -> bool:
        """Whether sub-environments are reset when they are asked to, by a mask."""
        return self.mode is AutoresetMode.DISABLED


class VectorSlots(EnvSlots):
    """The N sub-environments of a vector environment, in the first N of S slots; the others stay empty.

    A step of the vector environment is a step of all N. In those without an episode in progress it takes any valid
    action, and what it returns for them does not count. An episode can begin in a slot that shows a first observation:
    after a reset by mask, or, where the simulator itself resets what has ended, after that. If an episode is left
    before its end, its sub-environment is stepped on to the end, unless all can be reset at once.

    Args:
        supply: Makes the vector environment, and closes it.
        kind: What kind it is.
        encoder: Checks its observations.
        time_limit: Steps after which an episode is truncated, if the simulator does not do so earlier.
        count: S, the number of slots, N or more.
        dtype: The dtype that observations are kept in.
    """

    def __init__(self, supply: Supply, kind: Kind, encoder: Encoder, time_limit: int, count: int, dtype: Any) -> None:
        if count < kind.width:
            raise ValueError(f"slots must be at least {kind.width}, the number of sub-environments, got {count}")
        self._supply, self._kind, self._encoder = supply, kind, encoder
        self._time_limit = min(time_limit, LONGEST_EPISODE)
        self._env: GymVector | None = None
        self._why = "the vector environment was lost"  # if there is none, for the episodes that were in it
        self._idle: Array = np.zeros(0)  # (N, …), actions for slots without an episode
        self._steps = np.zeros(count, np.int64)  # of the episode in each slot
        self._over = np.zeros(kind.width, bool)  # has ended by itself, and has not been reset
        self._fresh = np.zeros(kind.width, bool)  # shows the first observation of an episode that nobody plays yet
        self._odd: dict[int, str] = {}  # sub-environments whose latest observation is not of the space
        self._seen = self._rows(kind.width, dtype)  # the latest observations
        self._cleared = True
        self.observations = self._rows(count, dtype)
        self.rewards: Array = np.zeros(count)
        self.truncated: Array = np.zeros(count, bool)

    def clear(self) -> None:
        self._fresh[:] = False
        self._cleared = True

    def reset(self, slot: int, seed: int) -> str | None:
        return self.begin({slot: seed}, alone=True)[1].get(slot)

    def begin(self, seeds: Mapping[int, int], *, alone: bool) -> tuple[list[int], dict[int, str]]:
        if not seeds:
            return [], {}
        try:
            begun = self._begin(seeds, alone)
        except STOPS:
            raise
        except BaseException as error:
            return [], dict.fromkeys(seeds, self._lose("reset", error))
        self._fresh[begun], self._steps[begun] = False, 0
        failed = {slot: self._odd[slot] for slot in begun if slot in self._odd}
        self._show(started := [slot for slot in begun if slot not in failed])
        return started, failed

    def step(self, slots: list[int], actions: Any) -> tuple[list[int], dict[int, str]]:
        if self._env is None:
            return [], dict.fromkeys(slots, self._why)
        self.rewards[:] = 0
        try:
            if self._kind.masked and self._over.any():  # in some, nobody plays
                self._reset_some(self._env, self._over.copy(), {})
            answer = self._env.step(self._actions(slots, actions))
            rewards, terminated, truncated = self._take_apart(answer)
            done = terminated | truncated
            failed = self._show_after(slots, done, answer[4])
        except STOPS:
            raise
        except BaseException as error:
            return [], dict.fromkeys(slots, self._lose("step", error))
        self._note_ends(done)
        self.rewards[slots] = rewards[slots]
        self._steps[slots] += 1
        self.truncated[slots] = ~terminated[slots]
        return [slot for slot in slots if done[slot] or self._steps[slot] >= self._time_limit], failed

    def close(self) -> None:
        if self._env is not None:
            env, self._env = self._env, None
            self._supply.close(env)

    def _begin(self, seeds: Mapping[int, int], alone: bool) -> list[int]:
        """The slots in which an episode can begin now, after whatever reset is possible."""
        if self._env is None and not alone:
            return []  # first its episodes have to fail, in the next step
        env = self._open() if self._env is None else self._env
        first = next(iter(seeds.values()))
        if self._kind.masked:
            if self._cleared:  # a mask is for environments that have begun
                self._reset_all(env, first)
            self._reset_some(env, np.isin(np.arange(self._kind.width), list(seeds)), seeds)
            return list(seeds)
        if alone and not self._fresh[list(seeds)].all():
            self._reset_all(env, first if self._cleared else None)
        return [slot for slot in seeds if self._fresh[slot]]

    def _open(self) -> GymVector:
        env = self._env = self._supply.take()
        self._idle = np.stack([idle_action(env.single_action_space)] * self._kind.width)
        self.clear()
        return env

    def _reset_all(self, env: GymVector, seed: int | None) -> None:
        self._look(env.reset(seed=seed))
        self._over[:], self._fresh[:], self._cleared = False, True, False

    def _reset_some(self, env: GymVector, mask: Array, seeds: Mapping[int, int]) -> None:
        """Reset the sub-environments of a mask (N,), with the seeds that are given for some of them."""
        settings: dict[str, Any] = {"options": {"reset_mask": mask}}
        if self._kind.seeded:
            settings["seed"] = [int(seeds.get(slot, 0)) for slot in range(self._kind.width)]
        self._look(env.reset(**settings), mask.nonzero()[0])
        self._over[mask] = False

    def _look(self, answer: Any, where: Any = slice(None)) -> None:
        """Take in the observations of a reset, those of some sub-environments."""
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise AnswerError(f"reset returned {shortly(answer)}, expected (observations, infos)")
        self._observe(answer[0], where)

    def _take_apart(self, answer: Any) -> tuple[Array, Array, Array]:
        """Take in the observations that a step returned; its rewards, and what was terminated and truncated, (N,)."""
        if not isinstance(answer, tuple | list) or len(answer) != 5:
            many = f"{len(answer)} values" if isinstance(answer, tuple | list) else shortly(answer)
            raise AnswerError(f"step returned {many}, {EXPECTED}")
        self._observe(answer[0], slice(None))
        columns = []
        for name, value in zip(("rewards", "terminated", "truncated"), answer[1:4], strict=True):
            column = as_array(name, value)
            if column.shape != (self._kind.width,) or column.dtype.kind not in NUMBERS:
                wanted = f"numbers of shape ({self._kind.width},)"
                raise AnswerError(f"step returned {name} of {column.dtype}, shape {column.shape}, expected {wanted}")
            columns.append(column)
        return columns[0].astype(np.float64), columns[1].astype(bool), columns[2].astype(bool)

    def _observe(self, observations: Any, where: Any) -> None:
        """Keep observations (N, *O) of some sub-environments; those that are not of the space are remembered as odd."""
        array, shape = as_array("observations", observations), (self._kind.width, *self._encoder.observation_shape)
        if array.shape != shape:
            raise AnswerError(f"observations have shape {array.shape}, expected {shape}")
        rows = np.arange(self._kind.width)[where]
        self._odd = {slot: reason for slot, reason in self._odd.items() if slot not in rows}
        with np.errstate(over="ignore"):  # what is too large for the policy's dtype fails as infinite
            try:
                self._seen[where] = self._encoder.check(array[where])
                return
            except ObservationError:
                pass
            for slot in rows.tolist():
                try:
                    self._seen[slot] = self._encoder.check(array[slot : slot + 1])[0]
                except ObservationError as error:
                    self._odd[slot] = str(error)

    def _show(self, slots: list[int]) -> None:
        """Show what the sub-environments of these slots observe to whoever plays there."""
        where = self._where(slots)
        self.observations[where] = self._seen[where]

    def _rows(self, count: int, dtype: Any) -> Any:
        """Room for observations (count, *O)."""
        return np.zeros((count, *self._encoder.observation_shape), dtype)

    def _where(self, slots: list[int]) -> Any:
        """An index of the rows of some slots."""
        return slots

    def _row(self, observation: Array) -> Any:
        """One observation (*O), as rows are."""
        return observation

    def _show_after(self, slots: list[int], done: Array, infos: Any) -> dict[int, str]:
        """Show what there is to see after a step in these slots; return those where it is not of the space, and why.

        A sub-environment that was reset in the same step shows the next episode's first observation already; the last
        one of the episode that ended is among the infos, if the simulator keeps it.
        """
        if self._kind.mode is not AutoresetMode.SAME_STEP or not done.any():
            self._show(slots)
            return {slot: self._odd[slot] for slot in slots if slot in self._odd} if self._odd else {}
        failed = {slot: self._odd[slot] for slot in slots if slot in self._odd and not done[slot]}
        self._show([slot for slot in slots if not done[slot]])
        last = next((infos[name] for name in FINAL if name in infos), None) if isinstance(infos, Mapping) else None
        if last is not None:
            rows = as_array("final observations", last)
            for slot in [slot for slot in slots if done[slot]]:
                try:
                    self.observations[slot] = self._row(self._encoder.check([rows[slot]])[0])
                except ObservationError as error:
                    failed[slot] = str(error)
        return failed

    def _note_ends(self, done: Array) -> None:
        """Take in which sub-environments ended with a step (N,), and which show a first observation after it."""
        if self._kind.mode is AutoresetMode.SAME_STEP:
            self._fresh = done
        else:
            self._fresh = self._over if self._kind.mode is AutoresetMode.NEXT_STEP else np.zeros_like(done)
            self._over = done

    def _actions(self, slots: list[int], actions: Any) -> Any:
        """The actions of all N sub-environments, as an array or a tensor, whichever it takes."""
        every = self._idle.copy()
        if slots:
            every[slots] = np.asarray(actions)[slots]
        return every if self._kind.device is None else torch.from_numpy(every).to(self._kind.device)

    def _lose(self, place: str, error: BaseException) -> str:
        """Let go of a vector environment whose state is unknown, as it raised or gave an odd answer, and return why.

        Raises:
            CodeError: If the machine, and not the simulator, is the reason: out of memory, or of files.
        """
        if self._env is not None:
            env, self._env = self._env, None
            self._supply.abandon(env)
        if is_exhausted(error):
            raise CodeError(f"{place} failed: {in_a_line(error)}") from error
        details = "".join(traceback.format_exception(error))
        self._why = str(error) if isinstance(error, AnswerError) else f"{place} raised {in_a_line(error)}\n{details}"
        return self._why
