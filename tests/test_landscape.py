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


def trained(algorithm: str, folder: Path, policy: str = "linear") -> tuple[tp.ParamVector, dict[str, Any]]:
    args = {"hidden": 4} if policy == "mlp" else {}
    settings = {
        "policy": policy,
        "policy_args": args,
        "generations": 3,
        "eval_episodes": 2,
        "preset": False,
        "target": None,
    }
    result = tp.train("CartPole-v1", algorithm, run_dir=folder, **settings)  # type: ignore[arg-type]
    tree, _ = load_checkpoint(folder / "checkpoints")
    assert tree is not None
    return tp.ParamVector(result.policy.net), tree["algorithm"]


@pytest.mark.parametrize("algorithm", ["cmaes", "xnes", "snes", "nes", "sepcma", "ars", "deepcem"])
@pytest.mark.parametrize(("policy", "first"), [("linear", 1.0), ("mlp", 3**-0.5)])
def test_directions_are_at_right_angles_and_as_long_as_the_first_noise(
    algorithm: str, policy: str, first: float, tmp_path: Path
) -> None:
    vector, state = trained(algorithm, tmp_path / "run", policy)
    plane = main_directions(state, vector, torch.Generator().manual_seed(0))
    length = float((vector.initial_scale().double() * first).square().sum())
    torch.testing.assert_close(plane @ plane.T, length * torch.eye(2, dtype=torch.float64))


def test_a_search_with_a_std_draws_from_it(tmp_path: Path) -> None:
    vector = tp.ParamVector(torch.nn.Linear(4, 2))
    std = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    states = ({"std": std}, {"initial_std": std}, {"initial_std": torch.ones(10), "variances": std})
    for state in (*states, {"inner": {"std": std}}):
        plane = main_directions(state, vector, torch.Generator().manual_seed(0))
        assert plane[:, 2:].abs().max() < 1e-12


def test_a_search_with_a_covariance_has_the_directions_in_which_it_spreads_most(tmp_path: Path) -> None:
    vector = tp.ParamVector(torch.nn.Linear(4, 2))
    widths = torch.tensor([1.0, 5.0, 2.0, 9.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    turned = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    even, first = torch.ones(10, dtype=torch.float64), torch.linspace(1, 3, 10, dtype=torch.float64)
    states: list[dict[str, Any]] = [
        {"transform": turned @ widths.diag()},
        {"axes": turned, "widths": widths, "initial_std": even},
        {"inner": {"axes": (turned * widths) / first[:, None], "widths": even, "initial_std": first}},
    ]
    for state in states:
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
