import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import torchpolicy as tp
from torchpolicy.base.seeding import Stream, episode_seeds
from torchpolicy.callbacks import Render, Run
from torchpolicy.output.film import shoot
from torchpolicy.output.replay import make


class Dot(gymnasium.Env[Any, Any]):
    """A white dot goes right, a pixel an action."""

    observation_space = Box(0, 100, (1,))
    action_space = Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.place = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place = int(self.np_random.integers(3))
        return np.array([self.place], np.float32), {}

    def step(self, action: int) -> Any:
        self.place += action
        return np.array([self.place], np.float32), 1.0, self.place >= 40, False, {}

    def render(self) -> Any:
        picture = np.zeros((8, 64, 3), np.uint8)
        picture[:, self.place] = 255
        return picture


class Waiting(Dot):
    """Waits three steps in every pixel, at four steps a second, up to a time limit of 200 steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def step(self, action: int) -> Any:
        observation, reward, _, *rest = super().step(0)
        self.waited = getattr(self, "waited", 0) + 1
        self.place += self.waited % 3 == 0
        return observation, reward, self.waited == 200, *rest


class OnScreen(Dot):
    """Has a window, in place of which it writes each episode down; none if there is no file for that."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.shows = render_mode == "human"
        if self.shows and "SCREEN" not in os.environ:
            raise RuntimeError("there is no screen")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if self.shows:
            with Path(os.environ["SCREEN"]).open("a") as screen:
                print(seed, file=screen)
        return super().reset(seed=seed)


def always_right() -> tp.Policy:
    policy = tp.LinearPolicy(Dot.observation_space, Dot.action_space)
    with torch.no_grad():
        policy.net.weight.zero_()
        policy.net.bias.copy_(torch.tensor([0.0, 1.0]))
    return policy


def test_what_is_drawn_is_the_episode_that_is_scored() -> None:
    policy = tp.train("CartPole-v1", "cem", generations=1).policy
    take = shoot(policy, "CartPole-v1", None, None, seed=7)
    assert take.total == tp.evaluate(policy, "CartPole-v1", episodes=1, seed=7).mean == len(take.actions)


def test_every_frame_is_there_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])  # where the process that draws finds tests.test_film
    path = tp.record(always_right(), "tests.test_film:Dot", tmp_path / "dot.gif")
    places = []
    with Image.open(path) as picture:
        for frame in range(picture.n_frames):  # type: ignore[attr-defined]
            picture.seek(frame)
            places.append(int(np.asarray(picture.convert("L"))[0].argmax()))
    assert places == list(range(places[0], 41))


def test_of_a_slow_and_long_episode_the_beginning_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    path = tp.record(always_right(), "tests.test_film:Waiting", tmp_path / "dot.gif")
    with Image.open(path) as picture:  # equal pictures are joined, and shown for longer
        assert picture.n_frames == 50  # type: ignore[attr-defined]
        picture.seek(49)
        last = int(np.asarray(picture.convert("L"))[0].argmax())
        picture.seek(0)
        assert last - int(np.asarray(picture.convert("L"))[0].argmax()) == 49


def test_a_long_episode_is_thinned(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cart.gif"
    result = tp.train("MountainCar-v0", "cem", generations=1, preset=False, run_dir=tmp_path / "run")
    command = [sys.executable, "-m", "torchpolicy", "record", str(result.run_dir), "--out", str(path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == str(path)
    with Image.open(path) as picture:
        assert 90 < picture.n_frames <= 101  # every second of 200 steps, and the last
        assert max(picture.size) == 400


@pytest.mark.parametrize(
    ("env", "path", "message"),
    [
        ("CartPole-v1", "episode.avi", "should end in .gif or .mp4"),
        ("FrozenLake-v1", "episode.gif", "FrozenLake-v1 has others"),
        ("NoSuchEnv-v3", "episode.gif", "making NoSuchEnv-v3 failed"),
    ],
)
def test_mistakes_are_said(env: str, path: str, message: str) -> None:
    policy = tp.train("CartPole-v1", "cem", generations=1).policy
    with pytest.raises(ValueError, match=message):
        tp.record(policy, env, path)


def test_an_episode_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    monkeypatch.setattr("torchpolicy.output.film.RUNAWAY_STEPS", 5)
    assert len(shoot(always_right(), "tests.test_film:Dot", None, None, seed=0).actions) == 5


def test_a_renderer_that_is_missing_costs_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tp.train("CartPole-v1", "cem", generations=1).policy
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match="CartPole-v1 cannot be drawn: the process that draws ended with 1"):
        tp.record(policy, "CartPole-v1")


def test_a_long_run_shows_its_policy_in_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.output.film.FIRST_SECONDS", 0.0)
    tp.train("CartPole-v1", "cem", seconds=12, target=None, eval_episodes=5, population=4, run_dir=tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run"), {"images": 0}).Reload()
    pictures = board.Images("episode")
    assert pictures
    with Image.open(io.BytesIO(pictures[0].encoded_image_string)) as picture:
        assert picture.format == "GIF"
        assert picture.size == (pictures[0].width, pictures[0].height) == (400, 267)


def test_a_short_run_shows_the_policy_that_it_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.output.film.SHORT_SECONDS", 0.0)
    result = tp.train("CartPole-v1", "cem", generations=3, eval_episodes=5, population=4, run_dir=tmp_path / "run")
    board = EventAccumulator(str(tmp_path / "run"), {"images": 0}).Reload()
    (picture,) = board.Images("episode")
    assert picture.step == result.metrics[-1]["rollout/env_steps"]
    expected = tp.record(result.policy, "CartPole-v1", tmp_path / "same.gif", seed=0)
    assert picture.encoded_image_string == expected.read_bytes()


def test_what_cannot_be_drawn_costs_a_run_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torchpolicy.output.film.FIRST_SECONDS", 0.0)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = tp.train("CartPole-v1", "cem", generations=40, total_steps=None, target=None, population=4)
    assert len(result.metrics) == 40
    assert capsys.readouterr().err.count("no pictures of episodes: CartPole-v1 cannot be drawn: the process that") == 1


def wait_for(window: Render) -> None:
    """Wait for the window of a callback, which a run does not."""
    if window._window is not None:
        window._window.wait(60)


class Slow(tp.callbacks.Callback):
    """Waits until a window has closed."""

    def __init__(self, window: Render) -> None:
        self.window = window

    def on_generation_end(self, run: Run, metrics: dict[str, float]) -> None:
        wait_for(self.window)


def test_the_policy_is_shown_while_it_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    monkeypatch.setenv("SCREEN", str(tmp_path / "screen"))
    monkeypatch.setenv("DISPLAY", ":0")
    window = Render("tests.test_film:OnScreen", every=2, seed=5)
    settings: dict[str, Any] = {"population": 4, "generations": 4, "max_episode_steps": 50, "eval_episodes": 2}
    tp.train(OnScreen, "cem", callbacks=[window, Slow(window)], run_dir=tmp_path / "run", **settings)
    (episode,) = episode_seeds(5, Stream.EVALUATION, 0, 1)
    assert (tmp_path / "screen").read_text().split() == [str(episode)] * 2


@pytest.mark.parametrize(
    ("display", "why"), [(":0", "the episode cannot be drawn: .*there is no screen"), ("", "there is no display")]
)
def test_a_run_without_a_screen_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], display: str, why: str
) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    window = Render("tests.test_film:OnScreen", every=1)
    settings: dict[str, Any] = {"population": 4, "generations": 3, "max_episode_steps": 50, "eval_episodes": 2}
    result = tp.train(OnScreen, "cem", callbacks=[window, Slow(window)], run_dir=tmp_path / "run", **settings)
    assert len(result.metrics) == 3
    assert len(re.findall(f"no windows with episodes: {why}", capsys.readouterr().err)) == 1


def test_play_says_that_there_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    env = gymnasium.make("CartPole-v1")
    policy = tp.LinearPolicy(env.observation_space, env.action_space)
    with pytest.raises(ValueError, match="CartPole-v1 cannot be shown: there is no display"):
        tp.play(policy, "CartPole-v1")


def test_windows_are_for_one_run() -> None:
    command = [sys.executable, "-m", "torchpolicy", "train", "cem", "--env", "CartPole-v1", "--seeds", "0-1"]
    done = subprocess.run([*command, "--render", "5"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--render shows one run: give one --seed instead of --seeds" in done.stderr


@pytest.mark.parametrize(("env", "camera"), [("Hopper-v5", 0), ("Ant-v5", 0), ("Reacher-v5", -1)])
def test_the_camera_follows_a_robot_whose_model_has_one_for_that(env: str, camera: int) -> None:
    pytest.importorskip("mujoco")
    assert make(env, {}, None, "rgb_array").unwrapped.mujoco_renderer.camera_id == camera  # type: ignore[attr-defined]
    chosen: Any = make(env, {"camera_id": -1}, None, "rgb_array").unwrapped
    assert chosen.mujoco_renderer.camera_id == -1
