"""An environment tried out before training: does it work, and do seed and actions alone decide on an episode?

Only with such environments do results not depend on the number of processes, and does a resumed run end in the same
bits. One that remembers, draws random numbers from elsewhere or reads a clock would break both without a word.
"""

import time
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch

from torchpolicy.base.activity import PLACE, RESET, STEP, TICK
from torchpolicy.base.finite import why_not_finite
from torchpolicy.base.generators import watching_generators
from torchpolicy.base.types import Array
from torchpolicy.envs.base import Environment, EnvSlots
from torchpolicy.policies.parts.encoders import make_encoder
from torchpolicy.policies.parts.heads import make_head

STEPS = 50
"""Steps that are played of an episode at most."""

TRIES = 8
"""Episodes that are begun at most until the first step of one succeeds."""

FIRST_SECONDS, SECONDS = 0.15, 0.8
"""Seconds after which the first episode, and all together, are cut short. A slow reset may take longer."""

OWN_STARTS = (
    "{} takes no seed for each episode: candidates meet different starts, results depend on the number of its "
    "sub-environments ({}) and of processes, and a resumed run goes on, but not to the last bit"
)
"""What is said of a vector environment that does not begin an episode as its seed says."""


class Script(NamedTuple):
    """An episode to play: its seed, and actions (STEPS, …)."""

    seed: int
    actions: Array


class Moment(NamedTuple):
    """What there is to see after a reset or a step."""

    observation: Array
    reward: float
    over: bool
    failure: str | None


Trace = list[Moment]


def check_environment(environment: Environment) -> str | None:
    """Play a few steps of an environment several times: alone, used, and beside another.

    Args:
        environment: The environment. One on tensors is not played, and a vector environment was played already.

    Returns:
        One line that says why its episodes are no pure functions, and which promises do not hold then; None if nothing
        was found.

    Raises:
        ValueError: If not even a first step succeeds.
    """
    if environment.width is not None:
        return None if environment.seeded else OWN_STARTS.format(environment.name, environment.width)
    if environment.on_tensors:
        return None
    dtype = make_encoder(environment.observation_space).observation_dtype or torch.float64
    slots = environment.make_slots(2, torch.empty(0, dtype=dtype).numpy().dtype)
    try:
        with watching_generators() as moved:
            difference = _find_difference(_Player(environment, slots))
    finally:
        slots.close()
    found = [f"it moves {' and '.join(moved)} global random generator"] if moved else []
    found += [difference] if difference else []
    if not found:
        return None
    return (
        f"{environment.name} is no pure function of seed and actions: {', and '.join(found)}. So results depend on the "
        "number of processes, and a resumed run does not end in the same bits (draw from self.np_random alone, which "
        "reset seeds, and keep nothing from episode to episode)"
    )


def _find_difference(player: "_Player") -> str | None:
    """How an episode differs from itself when it is played again; None if it does not."""
    one, alone = player.begin()
    two = player.script(TRIES)
    if not player.has_time:
        return None
    (used, beside), steps = player.play([two, one], len(alone) - 1), "with the same seed and actions"
    text = _compare(alone, beside)
    if text:
        return f"{text} in a second environment {steps}"
    if not player.has_time:
        return None
    again, fresh = player.play([one, two], len(alone) - 1)
    text = _compare(alone, again) or _compare(fresh, used)
    return f"{text} in a used environment, beside another, {steps}" if text else None


class _Player:
    """Plays scripts in slots, script number i in slot i."""

    def __init__(self, environment: Environment, slots: EnvSlots) -> None:
        self._environment, self._slots = environment, slots
        self._head = make_head(environment.action_space)
        self._end = time.monotonic() + SECONDS

    @property
    def has_time(self) -> bool:
        return time.monotonic() < self._end

    def script(self, seed: int) -> Script:
        """A script with this seed and valid actions."""
        space = deepcopy(self._environment.action_space)
        space.seed(seed)
        return Script(seed, np.stack([space.sample() for _ in range(STEPS)]))

    def begin(self) -> tuple[Script, Trace]:
        """The first episode whose first step succeeds, played alone.

        Raises:
            ValueError: If there is none.
        """
        reasons = []
        for seed in range(TRIES):
            script = self.script(seed)
            (trace,) = self.play([script], STEPS, FIRST_SECONDS)
            reason = next((moment.failure for moment in trace[:2] if moment.failure), None)
            if reason is None:
                return script, trace
            reasons.append(reason.splitlines()[0])
        raise ValueError(f"{self._environment.name} fails at its first steps, under valid actions: {reasons[0]}")

    def play(self, scripts: list[Script], steps: int, seconds: float = SECONDS) -> list[Trace]:
        """Traces of episodes that are played side by side for so many steps, or for fewer when time is up."""
        end, row = min(self._end, time.monotonic() + seconds), self._slots.activity.row
        traces: list[Trace] = []
        for slot, script in enumerate(scripts):
            row[PLACE], row[TICK] = RESET, row[TICK] + 1
            failure = self._slots.reset(slot, script.seed)
            self._slots.rewards[slot] = 0
            traces.append([self._look(slot, failure, over=False)])
        for t in range(steps):
            live = [slot for slot, trace in enumerate(traces) if not (trace[-1].over or trace[-1].failure)]
            if not live or (t and time.monotonic() > end):
                break
            row[PLACE], row[TICK] = STEP, row[TICK] + 1
            ended, failed = self._slots.step(live, self._actions(scripts, t))
            for slot in live:
                traces[slot].append(self._look(slot, failed.get(slot), over=slot in ended))
        row[PLACE] = 0
        return traces

    def _actions(self, scripts: list[Script], t: int) -> Any:
        """The actions of step t as the engine gives them: copies, for an environment may write into its action."""
        return self._head.to_env(torch.from_numpy(np.stack([script.actions[t] for script in scripts])))

    def _look(self, slot: int, failure: str | None, *, over: bool) -> Moment:
        """What there is to see in a slot after a reset or a step."""
        observation, reward = np.array(self._slots.observations[slot]), float(self._slots.rewards[slot])
        failure = failure or why_not_finite("observation", observation) or why_not_finite("reward", np.array(reward))
        return Moment(observation, reward, over, failure)


def _compare(one: Trace, other: Trace) -> str | None:
    """The first difference, as far as both were played; None if there is none."""
    for t, (first, second) in enumerate(zip(one, other, strict=False)):
        place = f"after step {t}" if t else "after reset"
        if bool(first.failure) != bool(second.failure):
            reason = str(first.failure or second.failure).splitlines()[0]
            return f"{place} it fails one time ({reason}) and not the other,"
        if first.failure:
            return None
        if not np.array_equal(first.observation, second.observation):
            return f"the observation {place} differs"
        if t and first.reward != second.reward:
            return f"the reward of step {t} differs"
        if first.over != second.over:
            return f"whether the episode ends with step {t} differs"
    return None
