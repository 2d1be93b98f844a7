"""The score around a run's policy: which plane is drawn, and that its points have the scores of their weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.errors import CheckpointError
from torchpolicy.runs import landscape as module
from torchpolicy.runs.landscape import main_directions

pytest.importorskip("matplotlib")


def trained(algorithm: str, folder: Path) -> tuple[tp.ParamVector, dict[str, Any]]:
    settings = {"policy": "linear", "generations": 3, "eval_episodes": 2, "preset": False, "target": None}
    result = tp.train("CartPole-v1", algorithm, run_dir=folder, **settings)  # type: ignore[arg-type]
    tree, _ = load_checkpoint(folder / "checkpoints")
    assert tree is not None
    return tp.ParamVector(result.policy.net), tree["algorithm"]


@pytest.mark.parametrize("algorithm", ["cmaes", "xnes", "snes", "nes", "sepcma", "ars", "deepcem"])
def test_directions_are_at_right_angles_and_as_long_as_the_first_noise(algorithm: str, tmp_path: Path) -> None:
    vector, state = trained(algorithm, tmp_path / "run")
    plane = main_directions(state, vector, torch.Generator().manual_seed(0))
    length = float(vector.initial_scale().double().square().sum())
    torch.testing.assert_close(plane @ plane.T, length * torch.eye(2, dtype=torch.float64))


def test_a_search_with_a_covariance_has_the_directions_in_which_it_spreads_most(tmp_path: Path) -> None:
    vector = tp.ParamVector(torch.nn.Linear(4, 2))
    widths = torch.tensor([1.0, 5.0, 2.0, 9.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    for state in ({"transform": turned @ widths.diag()}, {"axes": turned, "widths": widths}):
        plane = main_directions(state, vector, torch.Generator())
        along = (torch.nn.functional.normalize(plane) @ turned).abs()
        torch.testing.assert_close(along[:, [3, 1]], torch.eye(2, dtype=torch.float64))


def test_each_point_is_the_score_of_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vector, state = trained("snes", tmp_path / "run")
    drawn: list[np.ndarray] = []
    draw = module._draw
    monkeypatch.setattr(module, "_draw", lambda _, scores, *rest: (drawn.append(scores), draw(_, scores, *rest)))
    picture = tp.landscape(tmp_path / "run", tmp_path / "there.png", points=3, episodes=4, reach=0.5, seed=7)
    assert picture.stat().st_size > 5000
    (scores,) = drawn
    policy = tp.load(tmp_path / "run")
    assert scores[1, 1] == tp.evaluate(policy, "CartPole-v1", episodes=4, seed=7).mean
    generator = torch.Generator().manual_seed(module.derive_seed(7, module.Stream.EVALUATION))
    plane = main_directions(state, vector, generator)
    own = tp.ParamVector(policy.net)
    own.write((own.read().double() + 0.5 * plane[0] - 0.5 * plane[1]).float())
    assert scores[2, 0] == tp.evaluate(policy, "CartPole-v1", episodes=4, seed=7).mean


def test_mistakes_are_said(tmp_path: Path) -> None:
    trained("cem", tmp_path / "run")
    for wrong, message in (
        ({"points": 4}, "points must be odd, so that the policy is in the middle, got 4"),
        ({"points": 1}, "points must be an integer >= 3, got 1"),
        ({"reach": 0.0}, r"reach must be a number in \(0, inf\), got 0.0"),
        ({"episodes": 0}, "episodes must be an integer >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            tp.landscape(tmp_path / "run", **wrong)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="no such run folder"):
        tp.landscape(tmp_path / "nowhere")
