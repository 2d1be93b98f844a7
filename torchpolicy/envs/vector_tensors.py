"""The sub-environments of a simulator on tensors as slots, whose observations stay on its device."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.types import Array
from torchpolicy.base.user_code import shortly
from torchpolicy.envs.vector_arrays import AnswerError
from torchpolicy.envs.vector_slots import Kind, VectorSlots
from torchpolicy.envs.vector_supply import GymVector, Supply
from torchpolicy.policies.parts.encoders import Encoder, ObservationError


class VectorTensors(VectorSlots):
    """The same slots, with observations and actions that do not leave the simulator's device.

    Only rewards, ends of episodes, and whether all numbers are finite come to the CPU in each step.

    Args:
        supply: Makes the vector environment, and closes it.
        kind: What kind it is.
        encoder: Checks the dtype of its observations, which are those of a Box.
        time_limit: Steps after which an episode is truncated, if the simulator does not do so earlier.
        count: S, the number of slots, N or more.
        dtype: The dtype that observations are kept in.
    """

    def __init__(
        self, supply: Supply, kind: Kind, encoder: Encoder, time_limit: int, count: int, dtype: torch.dtype
    ) -> None:
        super().__init__(supply, kind, encoder, time_limit, count, dtype)
        self._known: torch.dtype | None = None  # a dtype of observations that the encoder has found right
        self._idle_actions = torch.empty(0)

    def _open(self) -> GymVector:
        env = super()._open()
        self._idle_actions = torch.from_numpy(self._idle).to(self._kind.device)
        return env

    def _rows(self, count: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(count, *self._encoder.observation_shape, dtype=dtype, device=self._kind.device)

    def _row(self, observation: Array) -> Tensor:
        return torch.from_numpy(observation).to(self._seen)

    def _observe(self, observations: Any, where: Any) -> None:
        if not isinstance(observations, Tensor):
            raise AnswerError(f"observations are {shortly(observations)}, and were a tensor before")
        if observations.shape != self._seen.shape:
            raise AnswerError(
                f"observations have shape {tuple(observations.shape)}, expected {tuple(self._seen.shape)}"
            )
        rows = np.arange(self._kind.width)[where].tolist()
        self._odd = {slot: reason for slot, reason in self._odd.items() if slot not in rows}
        if observations.dtype != self._known:
            try:
                self._encoder.check(observations[:1].numpy(force=True))
            except ObservationError as error:
                self._odd |= dict.fromkeys(rows, str(error))
                return
            self._known = observations.dtype
        into = self._where(rows)
        self._seen[into] = observations[into].to(self._seen)

    def _actions(self, slots: list[int], actions: Any) -> Tensor:
        every = self._idle_actions.clone()
        where = self._where(slots)
        every[where] = actions[where].to(every)
        return every

    def _where(self, slots: list[int]) -> slice | Tensor:
        if len(slots) == self._kind.width:
            return slice(len(slots))
        return torch.tensor(slots, dtype=torch.int64).to(self._kind.device)
