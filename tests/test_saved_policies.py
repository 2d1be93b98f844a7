"""The policy that a run leaves is loaded, scored and drawn again; a damaged one is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick import quick, weights
from torch import nn
from worlds import Guess, GuessFrom5

import torchpolicy as tp
from torchpolicy.output.saved_policy import save_policy


@pytest.mark.usefixtures("_own_test")
def test_saved_policy_and_evaluation_agree() -> None:
    result = quick(seed=3, eval_episodes=20)
    policy = tp.load(result.run_dir)
    assert torch.equal(tp.ParamVector(policy.net).read(), weights(result))
    again = tp.evaluate(policy, Guess, episodes=20, seed=3)
    np.testing.assert_array_equal(again.returns, result.evaluation.returns)
    assert tp.evaluate(policy, Guess, episodes=20, seed=4).returns.tolist() != again.returns.tolist()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: (path.parent / "policy.json").write_text("{"), "not JSON"),
        (lambda path: (path.parent / "policy.json").write_text("[]"), "expected a JSON object"),
        (
            lambda path: (path.parent / "policy.json").write_text('{"format_version": 9}'),
            r"was written by a newer torchpolicy, in format 9; this is .*, which reads format 1",
        ),
        (lambda path: (path.parent / "policy.json").write_text('{"format_version": 1}'), "observation_space"),
    ],
)
def test_damaged_policy_files_are_named(damage: Any, message: str) -> None:
    result = quick()
    damage(result.run_dir / "policy" / "weights.safetensors")
    with pytest.raises(tp.CheckpointError, match=message) as error:
        tp.load(result.run_dir)
    assert str(result.run_dir) in str(error.value)


def test_a_policy_with_nan_is_refused(tmp_path: Path) -> None:
    policy = tp.LinearPolicy(Guess.observation_space, Guess.action_space)
    with torch.no_grad():
        policy.net.bias[0] = torch.nan  # type: ignore[index, union-attr]
    save_policy(tmp_path, policy)
    with pytest.raises(tp.CheckpointError, match=r"net\.bias is not finite"):
        tp.load(tmp_path)


def test_a_policy_of_other_spaces_is_not_loaded_into() -> None:
    result = quick()
    with pytest.raises(tp.CheckpointError, match="the policy given has other spaces"):
        tp.load(result.run_dir, module=tp.LinearPolicy(GuessFrom5.observation_space, GuessFrom5.action_space))
    with pytest.raises(ValueError, match=r"policy must be a torchpolicy\.Policy"):
        tp.evaluate(nn.Linear(3, 3), Guess)  # type: ignore[arg-type]


def test_a_loaded_policy_is_in_eval_mode() -> None:
    assert not tp.load(quick().run_dir).training


@pytest.mark.usefixtures("_own_test")
def test_what_a_command_does_is_a_call(tmp_path: Path) -> None:
    result = quick("CartPole-v1", seed=4, eval_episodes=5)
    again = result.evaluate(episodes=5, seed=4)
    assert (
        again.returns.tolist()
        == result.evaluation.returns.tolist()
        == tp.evaluate(result.policy, "CartPole-v1", 5, 4).returns.tolist()
    )
    assert result.record(tmp_path / "episode.gif").stat().st_size > 1000
    pytest.importorskip("matplotlib")
    assert result.plot(tmp_path / "run.png").stat().st_size > 5000
    own = quick()
    assert own.evaluate(episodes=3).mean == own.evaluate(episodes=3).mean
    with pytest.raises(ValueError, match="worlds:Guess cannot be drawn"):  # by a process that cannot import it
        own.record()
    unnamed = quick(env=lambda: Guess())
    with pytest.raises(ValueError, match="define it in a module of its own"):
        unnamed.record()


@pytest.mark.usefixtures("_own_test")
def test_a_run_with_noise_of_low_rank_is_scored_again_to_the_last_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"policy_args": {"hidden": (64, 64)}, "noise_rank": 1, "generations": 2}
    steps = {"max_episode_steps": 50}
    settings |= steps | {"eval_episodes": 70, "seed": 3, "run_dir": tmp_path / "run", "preset": False}
    result = tp.train("Pendulum-v1", "nes", **settings)
    assert result.evaluate(70, seed=3).returns.tolist() == result.evaluation.returns.tolist()
    own = tp.evaluate(tp.load(result.run_dir), "Pendulum-v1", 70, seed=3, noise_rank=1, **steps).returns
    assert own.tolist() == result.evaluation.returns.tolist()
