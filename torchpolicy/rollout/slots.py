"""The loop for environments that are stepped one by one: slots that play a queue of episodes."""

from collections.abc import Sequence
from copy import deepcopy
from math import ceil
from typing import ClassVar, Self

import numpy as np
import torch

from torchpolicy.base.activity import CLOSE, EACH, PLACE, SLOT, STEP, TICK
from torchpolicy.base.device import Ferry
from torchpolicy.base.finite import find_not_finite
from torchpolicy.base.processes import ALONE, Group
from torchpolicy.base.user_code import blaming_calls
from torchpolicy.envs.base import Environment
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.normalizer import Moments, NoMoments, Normalization
from torchpolicy.policies.parts.pipeline import Pipeline
from torchpolicy.rollout.action_noise import ActionNoise, NoNoise
from torchpolicy.rollout.clock import Clock
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.rollout.members import Members
from torchpolicy.rollout.memory import make_memory
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.own import Forward
from torchpolicy.rollout.playing import Playing
from torchpolicy.rollout.recording import NoRecording, Recording
from torchpolicy.rollout.stopping import NoStopping, Stopping
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Candidates

SLOTS = 32
"""The number of slots by default, S. It is a multiple of 32, and every forward is as wide, so that the bits of a result
do not depend on which slot played an episode (see CONTRIBUTING.md)."""


class Rollout:
    """Plays populations of weight vectors of one policy in one environment.

    Example::

        with Rollout(environment, policy) as rollout:
            outcome = rollout.play(candidates, seeds)
            search.tell(candidates, torch.from_numpy(outcome.scores))

    Args:
        environment: The environment to play in.
        policy: The policy whose network the weight vectors are for. It is put into eval mode. The network computes on
            its device; everything else is computed where the environments are, on the CPU as a rule.
        slots: S, the number of environments stepped together, a multiple of 32. It is part of the result: another S
            may change the last bits of a forward.
        group: The processes that share the episodes. All call :meth:`play` with the same arguments, and all
            get the whole outcome.
        noise_rank: The rank of the populations that will be played; None unless it is low.

    Attributes:
        seconds: Where this process's time in play has gone, {part: seconds}; the rest of it is bookkeeping.
        longest: The number of steps of the longest episode so far.
    """

    parts: ClassVar[tuple[str, ...]] = ("env", "policy")
    """The parts that `seconds` tells apart."""

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        *,
        slots: int = SLOTS,
        group: Group = ALONE,
        noise_rank: int | None = None,
    ) -> None:
        if slots < 32 or slots % 32:
            raise ValueError(f"slots must be a positive multiple of 32, got {slots}")
        if environment.observation_space != policy.observation_space:
            raise ValueError(
                f"the policy takes observations from {policy.observation_space}, "
                f"{environment.name} gives {environment.observation_space}"
            )
        if environment.action_space != policy.action_space:
            raise ValueError(
                f"the policy gives actions in {policy.action_space}, "
                f"{environment.name} takes {environment.action_space}"
            )
        self.environment = environment
        self.policy = policy.eval()
        self.slots = slots
        self.group = group
        self._dtype, self._device = policy.dtype, policy.device
        self._vector = ParamVector(policy.net)
        self.noise_rank = noise_rank
        self._clock = Clock(self.parts)
        self.seconds = self._clock.seconds
        self.longest = 0
        self._open()

    @property
    def compile_seconds(self) -> float:
        """Seconds that compiling has taken; 0 if nothing was compiled."""
        return 0.0

    @torch.no_grad()
    def play(
        self,
        candidates: Candidates,
        seeds: Sequence[int],
        *,
        sampled: bool = False,
        observe: bool = False,
        stopping: Stopping | None = None,
    ) -> Outcome:
        """Play every candidate through every episode.

        A slot whose episode ends takes the next episode of the queue in the same step, so that no slot
        idles while work is left. An exception, or a NaN or infinity in an observation, a reward or
        an output of the network, fails the episode and nothing else.

        Args:
            candidates: (P, D), vectors or a population; with `noise_rank` a population of that rank, or one vector.
            seeds: (E,), one for each episode; all candidates play the same episodes.
            sampled: Whether actions are sampled and not greedy. The noise comes from each episode's own stream, so all
                candidates have the same.
            observe: Whether to keep moments of the observations, for the policy's normaliser.
            stopping: Says which episodes are stopped early. None: all are played to their end.

        Returns:
            Returns, lengths and failures of the episodes, (P, E) each.

        Raises:
            ValueError: If candidates have another shape, or `stopping` is given for an environment on tensors.
        """
        if len(candidates.shape) != 2 or candidates.shape[1] != self._vector.dim:
            raise ValueError(f"candidates must have shape (P, {self._vector.dim}), got {tuple(candidates.shape)}")
        outcome = Outcome.empty(len(candidates), len(seeds))
        self._run(
            outcome,
            candidates,
            seeds,
            sampled=sampled,
            observe=observe,
            recording=NoRecording(),
            stopping=stopping or NoStopping(),
        )
        return self._gathered(outcome)

    @torch.no_grad()
    def collect(self, seeds: Sequence[int], *, observe: bool = False) -> tuple[Outcome, Episodes]:
        """Play the policy as it is, with sampled actions, and take down what it does.

        Args:
            seeds: (E,), one for each episode. Episodes with the same seed begin alike, and have other action noise.
            observe: Whether to keep moments of the observations, for the policy's normaliser.

        Returns:
            The outcome of one candidate, P = 1, and the episodes that did not fail, in the order of their seeds.
        """
        outcome = Outcome.empty(1, len(seeds))
        head, encoder = self.policy.head, self.policy.encoder
        output = torch.zeros(self.slots, head.input_size, dtype=self._dtype, device=self._device)
        observations = torch.zeros(self.slots, *encoder.observation_shape, dtype=self.policy.observation_dtype)
        recording = Recording(observations.numpy(), head.choose(output).numpy(force=True))
        weights = self._vector.read().unsqueeze(0)
        self._run(outcome, weights, seeds, sampled=True, observe=observe, recording=recording, stopping=NoStopping())
        return self._gathered(outcome), recording.gathered(self.group, seeds)

    def _gathered(self, outcome: Outcome) -> Outcome:
        """The outcome of what all processes of the group played."""
        whole = outcome.gathered(self.group)
        self.longest = max(self.longest, int(whole.lengths.max(initial=0)))
        return whole

    def _open(self) -> None:
        """Make the environments, and a member of the network for each: member s plays in slot s."""
        self._members = Members(self.policy.net, self._vector, self.slots, noise_rank=self.noise_rank)
        self._memory = make_memory(self.policy.net, self.slots)
        environment, dtype = self.environment, self.policy.observation_dtype
        stay = environment.make_tensor_slots if environment.device == self._device else None
        if stay is None:
            self._envs = environment.make_slots(self.slots, torch.empty(0, dtype=dtype).numpy().dtype)
        else:
            self._envs = stay(self.slots, dtype)
        self._envs.activity = self.group.activity
        self._takes_tensors = stay is not None
        self._observations = torch.as_tensor(self._envs.observations)  # (S, *O), shares memory
        self._place = self._observations.device  # of choices and actions, too

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
        """Play this process's share of the episodes of an outcome, and enter them there.

        Args:
            outcome: All candidates and episodes, with nothing played yet.
            candidates: (P, D), who plays them.
            seeds: (E,), the seeds of each candidate's episodes.
            sampled: Whether actions are sampled.
            observe: Whether to keep moments of the observations.
            recording: Takes down the steps.
            stopping: Says which episodes are to be stopped.
        """
        total, group, envs, clock = outcome.returns.size, self.group, self._envs, self._clock
        pipeline, normalize = self._pipeline(), self._normalization()
        head = pipeline.head
        noise = ActionNoise(head, self.slots, seeds) if sampled else NoNoise()
        moments = self._moments(outcome) if observe else NoMoments()
        width = min(self.environment.width or self.slots, ceil(total / group.size))  # the others have their share
        queue = (Episode(number, seeds) for claimed in group.claim(total, width) for number in claimed)
        members, population = self._members, self._members.accept(candidates)
        playing = Playing(
            envs,
            members,
            population,
            queue,
            outcome,
            memory=self._memory,
            noise=noise,
            moments=moments,
            recording=recording,
            stopping=stopping,
        )
        doing = group.activity.row
        doing[EACH], doing[SLOT] = len(seeds), -1
        playing.begin(width)
        while playing.goes_on:
            clock.start()
            inputs = pipeline.encode(self._observations)  # (S, *input_shape), all S, always
            moments.add(inputs)
            output, choices = pipeline.choose(inputs, normalize, noise.next(self._place))
            mute = find_not_finite("output of the network", playing.live, output)
            recording.before(self._observations, choices)
            actions = head.to_actions(choices)
            taken = actions if self._takes_tensors else head.to_env(actions)
            clock.lap("policy")
            able = [slot for slot in playing.live if slot not in mute] if mute else playing.live
            doing[PLACE] = STEP
            ended, failed = envs.step(able, taken)
            doing[PLACE] = 0
            doing[TICK] += 1
            clock.lap("env")
            recording.after(envs.rewards)
            playing.advance(ended, failed, mute)
        outcome.slot_utilisation = playing.utilisation

    def _pipeline(self) -> Pipeline:
        """Observations to choices, where the observations are; each slot has a network of its own, wherever it is."""
        place = f"the network, {type(self.policy.net).__name__}, failed"
        network: Forward = blaming_calls(self._memory.network(self._members), place)
        encoder, head = self.policy.encoder, self.policy.head
        if self._device != self._place:
            network, encoder, head = Ferry(network, self._device), deepcopy(encoder).cpu(), deepcopy(head).cpu()
        return Pipeline(encoder, network, head, self._dtype)

    def _normalization(self) -> Normalization | None:
        """What the policy's normaliser does in this call of play, where the engine computes it; None without one."""
        normalizer = self.policy.normalizer
        return None if normalizer is None else normalizer.frozen(self._dtype, self._place)

    def _moments(self, outcome: Outcome) -> Moments:
        """The moments of observations of the episodes in progress, with room for those of all in the outcome."""
        normalizer = self.policy.normalizer
        if normalizer is None:
            return NoMoments()
        moments = Moments(normalizer, self.slots, self._place)
        outcome.moments = np.zeros((*outcome.returns.shape, *moments.sums.shape[1:]))
        return moments

    def close(self) -> None:
        """Release the environments."""
        doing = self.group.activity.row
        doing[SLOT], doing[PLACE] = -1, CLOSE
        self._envs.close()
        doing[PLACE] = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
