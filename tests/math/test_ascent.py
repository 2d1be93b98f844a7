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


def test_an_optimiser_that_chooses_its_own_steps_needs_a_learning_rate() -> None:
    with pytest.raises(ValueError, match="learning_rate is needed: 'adafactor' has no default here"):
        NES(torch.zeros(3), optimizer="adafactor")
