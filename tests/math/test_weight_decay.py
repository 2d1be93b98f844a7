"""Weight decay: the share of the center that a search loses after every generation."""

from typing import Any

import pytest
import torch

import torchpolicy as tp


@pytest.mark.parametrize("kind", [tp.ARS, tp.CEM, tp.CMAES, tp.PGPE, tp.SepCMA, tp.SNES, tp.XNES])
def test_the_center_shrinks_by_that_share(kind: Any) -> None:
    start = torch.linspace(1, 2, 6)
    plain, decayed = kind(start, std=0.1, seed=2), kind(start, std=0.1, seed=2, weight_decay=0.25)
    candidates = plain.ask()
    for search in (plain, decayed):
        search.tell(candidates, candidates.sum(1))
    torch.testing.assert_close(decayed.center, 0.75 * plain.center)
    decayed.tell(decayed.ask(), torch.zeros(decayed.population))  # nothing to learn from
    torch.testing.assert_close(decayed.center, 0.75**2 * plain.center)
    with pytest.raises(ValueError, match="weight_decay"):
        kind(start, weight_decay=1.5)
