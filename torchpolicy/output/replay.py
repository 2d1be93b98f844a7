"""Playing an episode again from its seed and its actions, and drawing it.

As a program, this file reads the episode as JSON from standard input. It imports neither torch nor the rest of the
package.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

LONGEST_SIDE = 400
"""The longest side of a picture in pixels."""

FRAMES_A_SECOND = 25
"""Speed of a picture if the environment has none of its own."""

COLOURS = 64
"""Colours in a picture of a GIF at most; with 256, files are almost twice as large."""

APART = 0.06
"""The most seconds between two frames of a GIF, by the environment's own speed: a gait would not be seen otherwise."""

OF_VECTORS = ("num_envs", "vectorization_mode", "vector_kwargs", "num_threads")
"""Arguments of ``gymnasium.make_vec`` and ``envpool.make`` that a single environment, which is drawn, does not have."""

CAMERA = frozenset({"camera_id", "camera_name", "default_camera_config"})
"""Arguments of Gymnasium's MuJoCo environments that say how to look at them."""


NO_DISPLAY = "there is no display (DISPLAY and WAYLAND_DISPLAY are not set); torchpolicy record draws into a file"
"""Why nothing can be shown where no window can be opened."""


def has_display() -> bool:
    """Whether a window can be opened, as far as the environment variables tell."""
    return sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")))


def is_own(env: str) -> bool:
    """Whether an environment is code of the user's own, ``pkg.mod:callable``, instead of a Gymnasium id."""
    _, _, name = env.partition(":")
    return bool(name) and not name.rpartition("-v")[2].isdigit()


def make(env: str, env_args: Mapping[str, Any], limit: int | None, mode: str | None) -> gymnasium.Env[Any, Any]:
    """The environment, made with the render mode `mode`. None makes it without one."""
    module, _, name = env.partition(":")
    args = dict(env_args) | ({} if mode is None else {"render_mode": mode})
    if is_own(env):
        sys.path.append(str(Path.cwd()))
        made = getattr(importlib.import_module(module), name)(**args)
        return made if limit is None else gymnasium.wrappers.TimeLimit(made, limit)
    single = {name: value for name, value in args.items() if name not in OF_VECTORS}
    made = gymnasium.make(env, max_episode_steps=limit, disable_env_checker=True, **single)
    if not CAMERA.intersection(single):
        _follow(made)
    return made


def _follow(env: gymnasium.Env[Any, Any]) -> None:
    """Let the camera of a MuJoCo environment follow the robot, if its model has a camera that does.

    Gymnasium's default camera stands still in pictures, and a robot that runs leaves them.
    """
    renderer = getattr(env.unwrapped, "mujoco_renderer", None)
    if getattr(renderer, "camera_id", None) == -1:
        import mujoco

        camera = mujoco.mjtObj.mjOBJ_CAMERA
        renderer.camera_id = mujoco.mj_name2id(env.unwrapped.model, camera, "track")  # type: ignore[union-attr, attr-defined]


def show(take: Mapping[str, Any]) -> None:
    """Show the episode in a window, at the environment's own speed."""
    for _ in _steps(take, "human"):
        pass


def draw(take: Mapping[str, Any]) -> None:
    """Draw the episode into the file ``take["path"]``."""
    path = Path(take["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        _draw_film(take, path)
    else:
        _draw_gif(take, path)


def _draw_gif(take: Mapping[str, Any], path: Path) -> None:
    from PIL import Image

    pictures: list[Image.Image] = []
    for number, env in enumerate(_steps(take, "rgb_array")):
        if number == 0:
            every, speed = -(-len(take["actions"]) // (take["frames"] - 1)), env.metadata.get("render_fps")
            every = max(1, every if speed is None else min(every, round(APART * speed)))
        if number % every == 0 or number == len(take["actions"]):
            picture = Image.fromarray(np.asarray(env.render()))
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            pictures.append(picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS))
            if len(pictures) == take["frames"]:
                break
    pause = max(
        20, round(1000 * every / (speed or FRAMES_A_SECOND))
    )  # milliseconds; viewers slow down what is faster than 20
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=min(pause, 100), loop=0)


def _draw_film(take: Mapping[str, Any], path: Path) -> None:
    try:
        import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise RuntimeError('an .mp4 needs imageio-ffmpeg: pip install "torchpolicy[video]"') from error
    writer = None
    for env in _steps(take, "rgb_array"):
        picture = np.ascontiguousarray(env.render())
        if writer is None:
            size, speed = (picture.shape[1], picture.shape[0]), env.metadata.get("render_fps", FRAMES_A_SECOND)
            writer = imageio_ffmpeg.write_frames(str(path), size, fps=speed, macro_block_size=2)
            writer.send(None)
        writer.send(picture)
    if writer is not None:
        writer.close()


def _steps(take: Mapping[str, Any], mode: str) -> Iterator[gymnasium.Env[Any, Any]]:
    """Play the episode; yields the environment at the start and after each action."""
    with closing(make(take["env"], take["env_args"], take["max_episode_steps"], mode)) as env:
        env.reset(seed=take["seed"])
        yield env
        for action in take["actions"]:
            env.step(action if np.isscalar(action) else np.asarray(action, getattr(env.action_space, "dtype", None)))
            yield env


def reason(error: BaseException) -> str:
    """An exception in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def main() -> None:
    """Draw the episode that standard input holds, or show it if it names no file."""
    take = json.loads(sys.stdin.read())
    if take["path"] is not None:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame without a display
        if sys.platform == "linux" and not os.environ.get("DISPLAY"):
            os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        (show if take["path"] is None else draw)(take)
    except BaseException as error:  # SystemExit too: an environment that calls sys.exit(0) has drawn nothing
        sys.exit(reason(error))


if __name__ == "__main__":
    main()
