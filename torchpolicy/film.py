"""An episode as a picture that moves, or in a window.

The policy acts here; what it did is played again, and drawn, by a process of its own (``replay.py``), which needs no
torch and whose end, by a missing display or a crash of a renderer, costs nothing.
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

from torchpolicy.checks import check_seed
from torchpolicy.envs.base import RUNAWAY_STEPS
from torchpolicy.envs.gym_slots import close_quietly
from torchpolicy.foreign import blaming, no_exit
from torchpolicy.policies.base import Policy
from torchpolicy.replay import make, show
from torchpolicy.seeding import Stream, episode_seeds

FRAMES = 100
"""Of a picture, at most; of a longer episode they are thinned."""

PATIENCE_SECONDS = 300.0
"""For a picture."""

FIRST_SECONDS, SHARE = 20.0, 0.02
"""Of a run, before its first picture; and the share of its time, at most, in which one is drawn."""


@dataclass(frozen=True)
class Take:
    """An episode that was played, and can be played again.

    Attributes:
        env: Gymnasium id, or ``pkg.mod:callable``.
        env_args: Keywords for it.
        max_episode_steps: Time limit in steps, in place of its own.
        seed: Of the episode.
        actions: As the environment took them.
        total: Sum of its rewards.
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
    """Play an episode in Gymnasium's environment: the first of those that :func:`torchpolicy.evaluate` scores."""
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
        actions, total, over = [], 0.0, False
        while not over:
            with blaming("the policy failed"):
                action = policy.act(observation)
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
        policy: Acts greedily.
        env: Gymnasium id, or ``"pkg.mod:callable"`` that takes `render_mode`.
        path: Ends in ``.gif``, of at most 100 frames, or in ``.mp4``, of all, with the extra ``video``.
        seed: As for :func:`torchpolicy.evaluate`.
        env_args: Keywords for the environment.
        max_episode_steps: Time limit in steps, in place of its own.

    Returns:
        `path`.

    Raises:
        ValueError: If the environment cannot be drawn, with what to install.
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
    """Show an episode of a policy in a window; its return. Arguments are those of :func:`record`."""
    take = shoot(policy, env, env_args, max_episode_steps, seed)
    with blaming(f"{env} cannot be shown"):
        show(vars(take))
    return take.total


class Filming:
    """Draws the policy of a run every so often: the first episode of the test, played here and drawn beside the run.

    Args:
        env: Gymnasium id, or ``pkg.mod:callable``.
        env_args: Keywords for it.
        max_episode_steps: Time limit in steps, in place of its own.
        seed: Of the run.
    """

    def __init__(self, env: str, env_args: Mapping[str, Any], max_episode_steps: int | None, seed: int) -> None:
        self._what: tuple[Any, ...] = env, env_args, max_episode_steps, seed
        self._folder = TemporaryDirectory(prefix="torchpolicy-")
        self._picture = Path(self._folder.name) / "episode.gif"
        self._process: subprocess.Popen[str] | None = None
        self._next = time.monotonic() + FIRST_SECONDS
        self._begun = 0.0

    def look(self, policy: Policy) -> bytes | None:
        """Begin a picture when it is time for one; the picture, once it is there.

        Raises:
            ValueError: If it cannot be drawn; then nothing more is.
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

    def close(self) -> None:
        """Leave what is not finished."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()


def _start(take: Take, path: Path) -> subprocess.Popen[str]:
    """A process that draws a take."""
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
            process.stdin.write(json.dumps(vars(take) | {"path": str(path), "frames": FRAMES}))
            process.stdin.close()
        process.stdin = None
    return process


def _finish(process: subprocess.Popen[str], env: str) -> None:
    """Wait for a process that draws."""
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
