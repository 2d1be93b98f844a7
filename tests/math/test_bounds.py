"""Bounds of a search: candidates are reflected, and the center stays inside."""

from typing import Any

import pytest
import torch

import torchpolicy as tp
from torchpolicy.vectors.bounds import Bounds

SEARCHES: list[Any] = [tp.ARS, tp.CEM, tp.CMAES, tp.NES, tp.PGPE, tp.SepCMA, tp.SNES, tp.XNES]


def test_entries_are_mirrored_at_the_bound_as_often_as_needed() -> None:
    bounds = Bounds((-1.0, 1.0), torch.zeros(6))
    found = bounds.reflect(torch.tensor([[0.3, 1.2, -1.5, 3.5, -5.2, 1.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.8, -0.5, -0.5, -0.8, 1.0]]))


def test_one_bound_may_be_missing_and_each_entry_may_have_its_own() -> None:
    bounds = Bounds((torch.tensor([0.0, -torch.inf]), torch.tensor([torch.inf, 2.0])), torch.tensor([1.0, 1.0]))
    found = bounds.reflect(torch.tensor([[-0.5, -9.0], [7.0, 2.5]]))
    torch.testing.assert_close(found, torch.tensor([[0.5, -9.0], [7.0, 1.5]]))


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_search_finds_an_optimum_on_the_edge_and_never_leaves(kind: Any) -> None:
    search = kind(torch.full((4,), 0.5, dtype=torch.float64), std=0.3, bounds=(0.0, 1.0), maximize=False)
    for _ in range(150):
        candidates = search.ask()
        assert ((candidates >= 0) & (candidates <= 1)).all()
        search.tell(candidates, (candidates + 1).square().sum(1))  # best at 0
        assert ((search.center >= 0) & (search.center <= 1)).all()
    assert search.center.max() < 0.2


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((1.0, 0.0), "low < high"),
        ((2.0, 3.0), "center must be within"),
        ((0.0,), "bounds must be"),
        ("tight", "bounds must be"),
        ((torch.zeros(3), 1.0), "bounds must be"),
    ],
)
def test_what_is_no_box_is_refused(bounds: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tp.SNES(torch.full((4,), 0.5), bounds=bounds)


def test_they_do_not_go_with_low_rank() -> None:
    slices = tp.ParamVector(torch.nn.Linear(4, 4)).slices
    with pytest.raises(ValueError, match="noise_rank"):
        tp.NES(torch.zeros(20), bounds=(-1, 1), noise_rank=1, slices=slices)


def test_bounds_are_the_searchs_own() -> None:
    low = torch.full((3,), -1.0)
    search = tp.SNES(torch.zeros(3), bounds=(low, 1.0))
    low.fill_(0.5)
    assert search.bounds is not None
    assert search.bounds.low.tolist() == [-1.0, -1.0, -1.0]
