"""The loop for environments on tensors: all slots are stepped together, and filled again between chunks of steps."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from gymnasium.utils.seeding import np_random
from torch import Tensor

from torchpolicy.base.activity import PLACE, SLOT, STEP, TICK
from torchpolicy.base.processes import ALONE, Group
from torchpolicy.base.user_code import blaming_calls
from torchpolicy.envs.base import Environment
from torchpolicy.envs.tensor import TensorEnv
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.normalizer import Normalization
from torchpolicy.rollout.action_noise import ActionNoise, NoNoise
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.rollout.outcome import Outcome
from torchpolicy.rollout.recording import Recording
from torchpolicy.rollout.slots import Rollout
from torchpolicy.rollout.stepper import Stepper
from torchpolicy.rollout.stopping import Stopping
from torchpolicy.rollout.tensor_playing import Queue, Results, TensorPlaying
from torchpolicy.vectors.population import Candidates

WIDEST = 4096
"""The most slots by default, on the CPU and not compiled."""


class TensorRollout(Rollout):
    """Plays like :class:`Rollout`, in an environment on tensors.

    Args:
        environment: The environment, on tensors.
        policy: The policy whose network the weight vectors are for. It is put into eval mode.
        slots: The most slots, S. A call takes no more than it has episodes for, rounded up to a multiple of 32.
        group: Processes that share the episodes.
        compile: Whether to step in float32, many steps in one compiled graph, always at the full width. Then a result
            has other last bits, and chaotic episodes end elsewhere.
        noise_rank: The rank of the populations that will be played; None unless it is low.
    """

    parts = ("step",)  # environment and policy are one loop

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        *,
        slots: int = WIDEST,
        group: Group = ALONE,
        compile: bool = False,
        noise_rank: int | None = None,
    ) -> None:
        self.compile = compile
        self._widest = slots
        width = slots if compile else 32
        super().__init__(environment, policy, slots=width, group=group, noise_rank=noise_rank)

    @property
    def compile_seconds(self) -> float:
        return self._stepper.compile_seconds

    def play(
        self,
        candidates: Candidates,
        seeds: Sequence[int],
        *,
        sampled: bool = False,
        observe: bool = False,
        stopping: Stopping | None = None,
    ) -> Outcome:
        if stopping is not None:
            raise ValueError(f"{self.environment.name} is on tensors, where no episode is stopped early")
        self._widen(len(candidates) * len(seeds))
        return super().play(candidates, seeds, sampled=sampled, observe=observe)

    def collect(self, seeds: Sequence[int], *, observe: bool = False) -> tuple[Outcome, Episodes]:
        self._widen(len(seeds))
        return super().collect(seeds, observe=observe)

    def close(self) -> None:
        pass

    def _open(self) -> None:
        if self.environment.tensor_env is None:
            raise ValueError(f"{self.environment.name} is not an environment on tensors: play it in a Rollout")
        self._env: TensorEnv = self.environment.tensor_env
        self._make_stepper()

    def _widen(self, episodes: int) -> None:
        """Take as many slots as there are episodes for, the same number in every process.

        Where bits do not depend on the width, that is the number for this process's share of the episodes.
        """
        if self.noise_rank is None:
            episodes = ceil(episodes / self.group.size)
        width = self._widest if self.compile else min(self._widest, 32 * ceil(episodes / 32))
        if width != self.slots:
            self.slots = width
            del self._stepper, self._members  # before others take as much room
            self._make_stepper()

    def _make_stepper(self) -> None:
        limit = self.environment.time_limit or self._env.time_limit
        self._stepper = Stepper(
            self._env, self.policy, self._vector, self.slots, limit, compile=self.compile, noise_rank=self.noise_rank
        )
        self._members = self._stepper.members

    def _run(
        self,
        outcome: Outcome,
        candidates: Candidates,
        seeds: Sequence[int],
        *,
        sampled: bool,
        observe: bool,
        recording: Recording,
        stopping: Stopping,
    ) -> None:
        total, slots, clock, device = outcome.returns.size, self.slots, self._clock, self._device
        normalizer, normalization = self.policy.normalizer, self._normalization()
        center = normalizer.mean if observe and normalizer is not None else None
        function, chunk = self._stepper.function(watched=center is not None, sampled=sampled)
        kind = type(self.policy.net).__name__
        step = blaming_calls(function, f"a step of {self.environment.name} with the network, {kind}, failed")
        noise = ActionNoise(self.policy.head, slots, seeds, chunk) if sampled else NoNoise()
        results = Results(total, (0,) if center is None else (2, *center.shape), device)
        width = min(slots, ceil(total / self.group.size))  # the other processes have their share
        queue = Queue(self.group.claim(total, width))
        playing = TensorPlaying(
            self._stepper,
            self._members.accept(candidates),
            self._first_states(seeds),
            seeds,
            queue,
            results,
            slots=slots,
            noise=noise,
            recording=recording,
        )
        doing = self.group.activity.row
        playing.begin(width)
        while playing.live:
            clock.start()
            doing[SLOT], doing[PLACE] = -1, STEP
            taken = step(playing.slots, chunk, normalization, center, noise.next_steps(device))
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            doing[PLACE] = 0
            doing[TICK] += 1
            clock.lap("step")
            recording.take(taken)
            playing.advance(chunk)
        results.report(outcome, seeds)
        outcome.slot_utilisation = outcome.env_steps / max(1, playing.tick * slots)

    def _first_states(self, seeds: Sequence[int]) -> Tensor:
        """(K, E), where the episodes of seeds (E,) begin."""
        initial = blaming_calls(self._env.initial, f"{self.environment.name} failed in initial")
        states = np.stack([initial(np_random(int(seed))[0]) for seed in seeds], 1)
        return torch.from_numpy(states).to(self._device, self._stepper.state_dtype)

    def _normalization(self) -> Normalization | None:
        normalizer = self.policy.normalizer
        if normalizer is None:
            return None
        frozen = normalizer.frozen(self._dtype, self._device)
        limit = torch.full((), float(frozen.limit), dtype=self._dtype, device=self._device)
        return frozen._replace(limit=limit)  # a compiler takes a number for a constant, and compiles again for another
