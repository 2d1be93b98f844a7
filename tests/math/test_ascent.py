"""Default learning rates belong to the optimizer: none starts with leaps, or stands still."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import torchpolicy as tp
from torchpolicy import NES, PGPE
from torchpolicy.cli import main
from torchpolicy.vectors.ascent import Ascent

OPTIMIZERS = [
    *("adadelta", "adagrad", "adam", "adamax", "adamw", "asgd", "clipup", "nadam", "radam", "rmsprop", "rprop", "sgd"),
    partial(torch.optim.SGD, momentum=0.9),
    partial(torch.optim.Adam, betas=(0.5, 0.9)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("kind", [NES, PGPE])
@pytest.mark.parametrize("baseline", ["standardized", "ranks"])
@pytest.mark.parametrize("dim", [10, 2000])
@pytest.mark.parametrize("clear", [False, True])
def test_a_first_step_is_a_fair_share_of_the_noise(
    kind: Any, optimizer: Any, baseline: str, dim: int, clear: bool
) -> None:
    """Of its length, .02 to .3, whether the scores are mere noise or go one way."""
    generator = torch.Generator().manual_seed(0)
    std = 0.1 + torch.rand(dim, generator=generator)
    search = kind(torch.zeros(dim), std=std, baseline=baseline, optimizer=optimizer)
    x = search.ask()
    chance = torch.randn(len(x), generator=generator)
    search.tell(x, x @ torch.randn(dim, generator=generator) if clear else chance)
    assert 0.02 <= float(search.center.norm() / std.norm()) <= 0.3


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("kind", [NES, PGPE])
def test_many_candidates_for_few_weights_make_no_leap(kind: Any, optimizer: Any) -> None:
    """Where scores go one way the gradient is ten times as long as by chance."""
    search = kind(torch.zeros(10), population=1000, optimizer=optimizer)
    x = search.ask()
    search.tell(x, x.sum(1))
    assert 0.02 <= float(search.center.norm() / search.initial_std.norm()) <= 0.3


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("kind", [NES, PGPE])
def test_a_first_step_is_as_fair_a_share_of_the_noise_in_each_layer(kind: Any, optimizer: Any) -> None:
    wide, narrow = torch.full((500,), 0.5), torch.full((500,), 0.05)
    search = kind(torch.zeros(1000), std=torch.cat([wide, narrow]), optimizer=optimizer)
    x = search.ask()
    search.tell(x, x @ torch.cat([1 / wide, 1 / narrow]))
    for part in (slice(500), slice(500, None)):
        assert 0.02 <= float(search.center[part].norm() / search.initial_std[part].norm()) <= 0.3


def test_an_optimizer_that_chooses_its_own_steps_needs_a_learning_rate() -> None:
    with pytest.raises(ValueError, match="learning_rate is needed: 'adafactor' has no default here"):
        NES(torch.zeros(3), optimizer="adafactor")


def test_an_optimizer_takes_further_arguments() -> None:
    plain, other = Ascent("sgd", torch.zeros(2), 0.1), Ascent("sgd", torch.zeros(2), 0.1, {"momentum": 0.9})
    vectors = [torch.zeros(2), torch.zeros(2)]
    for _ in range(2):
        vectors = [
            ascent.step(vector, torch.ones(2), 0.1) for ascent, vector in zip((plain, other), vectors, strict=True)
        ]
    torch.testing.assert_close(vectors[0], torch.full((2,), 0.2))
    torch.testing.assert_close(vectors[1], torch.full((2,), 0.1 + 0.19))
    with pytest.raises(ValueError, match=r"'adam' with \{'momentum': 0.9\} cannot be used"):
        Ascent("adam", torch.zeros(2), 0.1, {"momentum": 0.9})
    with pytest.raises(ValueError, match="optimizer_args must be"):
        Ascent("adam", torch.zeros(2), 0.1, "momentum")  # type: ignore[arg-type]


def test_a_run_takes_them_from_the_shell(tmp_path: Path) -> None:
    words = "train nes --env CartPole-v1 --generations 1 --eval-episodes 2 --no-preset --optimizer-args betas=0.5,0.9"
    assert main([*words.split(), "--run-dir", str(tmp_path / "run")]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["hyperparameters"]["optimizer_args"] == {"betas": [0.5, 0.9]}
    assert len(tp.resume(tmp_path / "run", generations=2).metrics) >= 1
