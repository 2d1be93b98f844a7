"""Showing an episode of a policy, as a moving picture or in a window.

The policy plays the episode here. A separate process (``replay.py``) then plays the same actions again and draws them.
It does not import torch, and if it ends early, because there is no display or a renderer crashes, the run goes on.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import numpy as np

from torchpolicy.base.checks import check_seed
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.base.user_code import blaming, no_exit
from torchpolicy.envs.base import RUNAWAY_STEPS
from torchpolicy.envs.gym_slots import close_quietly
from torchpolicy.output.replay import NO_DISPLAY, has_display, is_own, make, show
from torchpolicy.policies.actor import Actor
from torchpolicy.policies.base import Policy

FRAMES = 150
"""The largest number of frames in a GIF. A longer episode is drawn with evenly spaced frames, some 17 a second at least
by the environment's own speed, and as much of it as they show."""

PATIENCE_SECONDS = 300.0
"""The longest time to wait for a picture."""

FIRST_SECONDS, SHARE = 20.0, 0.02
"""Seconds of a run before its first picture, and the largest share of its time during which pictures are drawn."""

SHORT_SECONDS = 2.0
"""A run that ends sooner gets no picture of its last policy either, because drawing takes about as long."""


@dataclass(frozen=True)
class Take:
    """A record of an episode, from which it can be played again.

    Attributes:
        env: The environment: a Gymnasium id, or ``pkg.mod:callable``.
        env_args: Keyword arguments of the environment.
        max_episode_steps: Time limit in steps, which replaces the environment's own. None keeps that.
        seed: Seed of the episode.
        actions: The actions in the form that the environment received.
        total: Sum of the rewards.
    """

    env: str
    env_args: dict[str, Any]
    max_episode_steps: int | None
    seed: int
    actions: list[Any]
    total: float


@no_exit()
def shoot(
    policy: Policy, env: str, env_args: Mapping[str, Any] | None, max_episode_steps: int | None, seed: int
) -> Take:
    """Play an episode in Gymnasium's environment: the first one that :func:`torchpolicy.evaluate` scores.

    Raises:
        ValueError: If the policy has other spaces than the environment.
        CodeError: If the environment or the policy fails.
    """
    args = dict(env_args or {})
    (episode,) = episode_seeds(check_seed(seed), Stream.EVALUATION, 0, 1)
    made = _make(env, args, max_episode_steps, None)
    with ExitStack() as stack:
        stack.callback(close_quietly, made)
        if made.observation_space != policy.observation_space or made.action_space != policy.action_space:
            raise ValueError(
                f"the policy is for {policy.observation_space} and {policy.action_space}, {env} has others"
            )
        with blaming(f"{env} failed in reset"):
            observation, _ = made.reset(seed=episode)
        actor, actions, total, over = Actor(policy), [], 0.0, False
        while not over:
            with blaming("the policy failed"):
                action = actor(observation)
            actions.append(np.asarray(action).tolist())
            with blaming(f"{env} failed in step {len(actions)}"):
                observation, reward, terminated, truncated, _ = made.step(action)
                total += np.asarray(reward, np.float64).item()
                over = bool(terminated or truncated) or len(actions) == RUNAWAY_STEPS
    return Take(env, args, max_episode_steps, episode, actions, total)


def record(
    policy: Policy,
    env: str,
    path: str | Path = "episode.gif",
    seed: int = 1,
    *,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
) -> Path:
    """Draw an episode of a policy into a file: the first one that :func:`torchpolicy.evaluate` scores with this seed.

    Args:
        policy: The policy to show. It acts greedily.
        env: A Gymnasium id, or ``"pkg.mod:callable"``, where the callable takes `render_mode`.
        path: The file to write. A ``.gif`` has at most 150 frames, 0.06 seconds of the environment's time apart or
            less, and shows as much of the episode; an ``.mp4`` has all of it, and needs the extra ``video``.
        seed: Root of the episode's seed, the same as in :func:`torchpolicy.evaluate`.
        env_args: Keyword arguments of the environment.
        max_episode_steps: Time limit in steps, which replaces the environment's own.

    Returns:
        The file's path.

    Raises:
        ValueError: If the environment cannot be drawn. The message says what to install.
    """
    path = Path(path)
    if path.suffix not in (".gif", ".mp4"):
        raise ValueError(f"path should end in .gif or .mp4, got {path}")
    take = shoot(policy, env, env_args, max_episode_steps, seed)
    _finish(_start(take, path), env)
    return path


def play(
    policy: Policy,
    env: str,
    seed: int = 1,
    *,
    env_args: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
) -> float:
    """Show an episode of a policy in a window.

    Args:
        policy: The policy, which acts greedily.
        env: The environment: a Gymnasium id, or ``pkg.mod:callable``.
        seed: Seed of the episode.
        env_args: Keyword arguments of the environment.
        max_episode_steps: Time limit in steps, which replaces the environment's own.

    Returns:
        The episode's return.

    Raises:
        ValueError: If the environment cannot be shown.
    """
    if not (has_display() or is_own(env)):  # one of your own may show itself in other ways
        raise ValueError(f"{env} cannot be shown: {NO_DISPLAY}")
    take = shoot(policy, env, env_args, max_episode_steps, seed)
    with blaming(f"{env} cannot be shown"):
        show(vars(take))
    return take.total


def open_window(
    policy: Policy, env: str, env_args: Mapping[str, Any] | None, max_episode_steps: int | None, seed: int
) -> subprocess.Popen[str]:
    """Show an episode of a policy in a window of another process, which ends with the episode.

    Raises:
        ValueError: If the episode cannot be played.
    """
    return _start(shoot(policy, env, env_args, max_episode_steps, seed), None)


def why_no_window(window: subprocess.Popen[str]) -> str | None:
    """What went wrong in the process of a window that has ended; None if nothing did."""
    try:
        _finish(window, "the episode")
    except ValueError as error:
        return str(error)
    return None


class Filming:
    """Draws an episode of a run's policy now and then, always with the same seed.

    The episode is played in this process, and drawn by another one while the run goes on.

    Args:
        env: The environment: a Gymnasium id, or ``pkg.mod:callable``.
        env_args: Keyword arguments of the environment.
        max_episode_steps: Time limit in steps, which replaces the environment's own. None keeps that.
        seed: Seed of the run.
    """

    def __init__(self, env: str, env_args: Mapping[str, Any], max_episode_steps: int | None, seed: int) -> None:
        self._what: tuple[Any, ...] = env, env_args, max_episode_steps, seed
        self._folder = TemporaryDirectory(prefix="torchpolicy-")
        self._picture = Path(self._folder.name) / "episode.gif"
        self._process: subprocess.Popen[str] | None = None
        self._created = time.monotonic()
        self._next = self._created + FIRST_SECONDS
        self._begun = 0.0

    def look(self, policy: Policy) -> bytes | None:
        """Begin a picture if one is due, and return the bytes of a GIF if one has been finished since the last call.

        Raises:
            ValueError: If the episode cannot be drawn. No other picture is begun after that.
        """
        if self._process is None and time.monotonic() >= self._next:
            self._begun, self._next = time.monotonic(), inf
            take = shoot(policy, *self._what)
            self._process = _start(take, self._picture)
        if self._process is None or self._process.poll() is None:
            return None
        _finish(self._process, env=str(self._what[0]))
        self._process = None
        now = time.monotonic()
        self._next = now + (now - self._begun) / SHARE
        return self._picture.read_bytes()

    def begin_last(self, policy: Policy) -> None:
        """Begin the picture of the policy that a run keeps, unless the run was short; one under way is dropped.

        Raises:
            ValueError: If the episode cannot be played.
        """
        self._stop()
        self._next = inf
        if time.monotonic() >= self._created + SHORT_SECONDS:
            self._process = _start(shoot(policy, *self._what), self._picture)

    def last(self) -> bytes | None:
        """The bytes of the last picture, when it is finished; None if there is none.

        Raises:
            ValueError: If it cannot be drawn.
        """
        if self._process is None:
            return None
        process, self._process = self._process, None
        _finish(process, env=str(self._what[0]))
        return self._picture.read_bytes()

    def close(self) -> None:
        """Stop drawing, and drop an unfinished picture."""
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _start(take: Take, path: Path | None) -> subprocess.Popen[str]:
    """Start a process that draws a take into a file, or shows it in a window if there is no path."""
    command = [sys.executable, str(Path(__file__).with_name("replay.py"))]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # why it ended is told later
            process.stdin.write(json.dumps(vars(take) | {"path": path and str(path), "frames": FRAMES}))
            process.stdin.close()
        process.stdin = None
    return process


def _finish(process: subprocess.Popen[str], env: str) -> None:
    """Wait until a process that draws has ended.

    Raises:
        ValueError: If it took too long, or failed.
    """
    try:
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise ValueError(f"{env} was not drawn within {PATIENCE_SECONDS:.0f} s") from error
    if process.returncode:
        lines = errors.strip().splitlines() or [f"the process that draws ended with {process.returncode}"]
        raise ValueError(f"{env} cannot be drawn: {lines[-1]}")


def _make(env: str, env_args: dict[str, Any], limit: int | None, mode: str | None) -> gymnasium.Env[Any, Any]:
    with blaming(f"making {env} failed"):
        return make(env, env_args, limit, mode)
