"""Default learning rates belong to the optimiser: none starts with leaps, or stands still."""

from functools import partial
from typing import Any

import pytest
import torch

from torchpolicy import NES, PGPE

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


def test_an_optimiser_that_chooses_its_own_steps_needs_a_learning_rate() -> None:
    with pytest.raises(ValueError, match="learning_rate is needed: 'adafactor' has no default here"):
        NES(torch.zeros(3), optimizer="adafactor")
