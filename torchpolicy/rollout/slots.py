"""The loop for environments stepped one by one: slots that play a queue of (candidate, episode) pairs."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from math import ceil, isfinite
from time import perf_counter
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from torchpolicy.base.device import Ferry
from torchpolicy.base.finite import find_not_finite, why_not_finite
from torchpolicy.base.processes import ALONE, Group
from torchpolicy.base.user_code import blaming_calls
from torchpolicy.envs.base import Environment
from torchpolicy.policies.base import Policy
from torchpolicy.policies.parts.normalizer import Moments
from torchpolicy.rollout.action_noise import ActionNoise
from torchpolicy.rollout.episodes import Episodes, Recording
from torchpolicy.rollout.members import Members
from torchpolicy.rollout.outcome import Episode, Outcome
from torchpolicy.rollout.stages import Forward
from torchpolicy.vectors.params import ParamVector
from torchpolicy.vectors.population import Candidates

SLOTS = 32
"""S by default. A multiple of 32, the same for every forward, so that the bits of a result do not
depend on which slot played an episode (see CONTRIBUTING.md)."""

REWARD_CHECK = 64
"""Steps between looks at the sums of rewards; they are looked at when an episode ends, too."""


AT_ONCE = 2**22
"""Numbers of weights that are copied at a time where many slots take their next candidates."""

Index = int | Tensor


class Rollout:
    """Plays populations of weight vectors of one policy in one environment.

    Example::

        with Rollout(environment, policy) as rollout:
            outcome = rollout.play(candidates, seeds)
            search.tell(candidates, torch.from_numpy(outcome.scores))

    Args:
        environment: Where to play.
        policy: Whose network the weight vectors are for. Put into eval mode. The network computes on its device; all
            else stays on the CPU, beside the environments.
        slots: S, environments stepped together; a multiple of 32. Part of the result: another S
            may change the last bits of a forward.
        sampled: Sample actions, with noise from each episode's own stream, rather than act greedily.
        group: Processes that share the episodes. All call :meth:`play` with the same arguments, and all
            get the whole outcome.
        noise_rank: Of the populations that will be played, if they are of a low one.

    Attributes:
        seconds: Where this process's time in play has gone, {part: seconds}; the rest of it is bookkeeping.
        compile_seconds: What compiling has taken; 0 if nothing was compiled.
        longest: Steps of the longest episode so far.
    """

    parts: ClassVar[tuple[str, ...]] = ("env", "policy")
    """What `seconds` tells apart."""

    def __init__(
        self,
        environment: Environment,
        policy: Policy,
        *,
        slots: int = SLOTS,
        sampled: bool = False,
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
        self._encoder, self._head, self._dtype = policy.encoder, policy.head, policy.dtype
        self._device = policy.device
        self._vector = ParamVector(policy.net)
        self.noise_rank = noise_rank
        self._sampled = sampled
        self.seconds: dict[str, float] = dict.fromkeys(self.parts, 0.0)
        self.compile_seconds = 0.0
        self.longest = 0
        self._open()

    @torch.no_grad()
    def play(self, candidates: Candidates, seeds: Sequence[int], *, observe: bool = False) -> Outcome:
        """Play every candidate through every episode.

        A slot whose episode ends takes the next pair of the queue in the same step, so that no slot
        idles while work is left. An exception, or a NaN or infinity in an observation, a reward or
        an output of the network, fails the episode and nothing else.

        Args:
            candidates: (P, D), vectors or a population; with `noise_rank` a population of that rank, or one vector.
            seeds: (E,), one for each episode; all candidates play the same ones.
            observe: Keep moments of the observations, for the policy's normaliser.
        """
        if len(candidates.shape) != 2 or candidates.shape[1] != self._vector.dim:
            raise ValueError(f"candidates must have shape (P, {self._vector.dim}), got {tuple(candidates.shape)}")
        population = self._members.accept(candidates)
        outcome = Outcome.empty(len(population), len(seeds))
        block = max(1, AT_ONCE // self._vector.dim)

        def become(slot: Index, candidate: Index) -> None:
            if isinstance(slot, int) or isinstance(candidate, int) or len(slot) <= block:
                self._members.write(slot, population[candidate])
                return
            for some, rows in zip(torch.split(slot, block), torch.split(candidate, block), strict=True):
                self._members.write(some, population[rows])

        self._run(outcome, seeds, become=become, sampled=self._sampled, observe=observe)
        return self._gathered(outcome)

    @torch.no_grad()
    def collect(self, seeds: Sequence[int], *, observe: bool = False) -> tuple[Outcome, Episodes]:
        """Play the policy as it is, with sampled actions, and take down what it does.

        Args:
            seeds: (E,), one for each episode.
            observe: Keep moments of the observations, for the policy's normaliser.

        Returns:
            The outcome of one candidate, P = 1, and the episodes that did not fail, in the order of their seeds.
        """
        outcome = Outcome.empty(1, len(seeds))
        output = torch.zeros(self.slots, self._head.input_size, dtype=self._dtype, device=self._device)
        choices = self._head.choose(output).numpy(force=True)
        dtype = self._encoder.observation_dtype or self._dtype
        seen = torch.zeros(self.slots, *self._encoder.observation_shape, dtype=dtype)
        recording = Recording(seen.numpy(), choices)
        self._members.write(slice(None), self._members.accept(self._vector.read().unsqueeze(0)))
        self._run(outcome, seeds, sampled=True, observe=observe, recording=recording)
        return self._gathered(outcome), recording.gathered(self.group)

    def _gathered(self, outcome: Outcome) -> Outcome:
        """What all processes of the group played."""
        whole = outcome.gathered(self.group)
        self.longest = max(self.longest, int(whole.lengths.max(initial=0)))
        return whole

    def _open(self) -> None:
        """Make the environments, and a member of the network for each: member s plays in slot s."""
        self._members = Members(self.policy.net, self._vector, self.slots, noise_rank=self.noise_rank)
        dtype = self._encoder.observation_dtype or self._dtype
        self._envs = self.environment.make_slots(self.slots, torch.empty(0, dtype=dtype).numpy().dtype)
        self._observations = torch.from_numpy(self._envs.observations).unsqueeze(1)  # (S, 1, *O), shares memory

    def _run(
        self,
        outcome: Outcome,
        seeds: Sequence[int],
        *,
        become: Callable[[Index, Index], None] = lambda slot, candidate: None,
        sampled: bool,
        observe: bool,
        recording: Recording | None = None,
    ) -> None:
        """Play this process's share of the episodes of an outcome, and enter them there.

        Args:
            outcome: Of all candidates and episodes.
            seeds: (E,).
            become: Called with a slot, or several, and the candidate that plays there from now on.
            sampled: Whether actions are sampled.
            observe: Whether to keep moments of the observations.
            recording: Takes down the steps.
        """
        total = outcome.returns.size
        queue = (Episode(*divmod(pair, len(seeds)), seeds) for claimed in self.group.claim(total) for pair in claimed)
        episodes: dict[int, Episode] = {}  # the one in progress, by slot
        totals = np.zeros(self.slots)  # rewards so far
        envs, tick, busy = self._envs, 0, 0
        policy_seconds = env_seconds = 0.0
        normalizer = self.policy.normalizer
        normalize = None if normalizer is None else normalizer.frozen(self._dtype, "cpu")
        forward: Forward = blaming_calls(self._members, f"the network, {type(self.policy.net).__name__}, failed")
        encoder, head = self._encoder, self._head
        if self._device.type != "cpu":
            forward = Ferry(forward, self._device)
            encoder, head = deepcopy(encoder).cpu(), deepcopy(head).cpu()
        noise = ActionNoise(head, self.slots) if sampled else None
        moments = None
        if observe and normalizer is not None:
            moments = Moments(normalizer, self.slots)
            outcome.moments = np.zeros((*outcome.returns.shape, *moments.sums.shape[1:]))

        def start_next(slot: int) -> None:
            """Let a slot take the next pair of the queue, if there is one."""
            for episode in queue:
                reason = envs.reset(slot, episode.seed) or why_not_finite("observation", envs.observations[slot])
                if reason is not None:
                    outcome.fail(episode, 0, reason)
                    continue
                become(slot, episode.candidate)
                if noise is not None:
                    noise.restart(slot, episode.seed)
                if moments is not None:
                    moments.restart(slot)
                totals[slot], episode.started, episodes[slot] = 0.0, tick, episode
                return
            episodes.pop(slot, None)
            envs.observations[slot] = envs.rewards[slot] = 0  # nothing of a failure lingers

        for slot in range(min(self.slots, ceil(total / self.group.size))):  # leave the other processes their share
            start_next(slot)
        live = list(episodes)
        while live:
            ready = perf_counter()
            inputs = encoder.forward(self._observations).to(self._dtype)  # (S, 1, *input_shape)
            if moments is not None:
                moments.add(inputs.squeeze(1).numpy())
            output = forward(inputs if normalize is None else normalize(inputs)).squeeze(1)  # all S, always
            mute = find_not_finite("output of the network", live, output.numpy())  # these are not stepped
            choices = head.choose(output, None if noise is None else noise.next()[0])
            if recording is not None:
                recording.before(envs.observations, choices.numpy())
            actions = head.to_env(head.to_actions(choices))
            chosen = perf_counter()
            ended, failed = envs.step([slot for slot in live if slot not in mute] if mute else live, actions)
            stepped = perf_counter()
            policy_seconds, env_seconds = policy_seconds + chosen - ready, env_seconds + stepped - chosen
            if recording is not None:
                recording.after(envs.rewards)
            with np.errstate(over="ignore", invalid="ignore"):  # a sum that is not finite is told as such
                totals += envs.rewards
            tick += 1
            busy += len(live)
            if not np.isfinite(envs.observations).all():
                failed = find_not_finite("observation", live, envs.observations) | failed
            if tick % REWARD_CHECK == 0:  # a sum keeps what a reward brought in
                failed = find_not_finite("sum of rewards", live, totals) | failed
            for slot in ended:
                if slot not in failed:
                    episode, length = episodes[slot], tick - episodes[slot].started
                    if not isfinite(totals[slot]):
                        failed[slot] = f"sum of rewards is not finite: {totals[slot]}"
                    else:
                        seen = None if moments is None else moments.sums[slot]
                        outcome.finish(episode, length, totals[slot], bool(envs.truncated[slot]), seen)
                        if recording is not None:
                            recording.keep(episode.episode, slot, episode.started, tick)
                        start_next(slot)
            for slot, reason in failed.items():
                outcome.fail(episodes[slot], tick - episodes[slot].started, reason)
                start_next(slot)
            for slot, reason in mute.items():
                outcome.fail(episodes[slot], tick - 1 - episodes[slot].started, reason)
                start_next(slot)
            if len(episodes) < len(live):
                live = list(episodes)
        outcome.slot_utilisation = busy / max(1, tick * self.slots)
        self.seconds["env"] += env_seconds
        self.seconds["policy"] += policy_seconds

    def close(self) -> None:
        """Release the environments."""
        self._envs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
