"""How near to an optimum searches come by default before the floor of their std, or the numbers themselves, end it."""

import pytest
import torch
from functions import ellipsoid, sphere

from torchpolicy import CEM, PGPE, SNES, XNES


@pytest.mark.parametrize(("kind", "generations"), [(CEM, 400), (SNES, 900), (XNES, 900)])
def test_float64_comes_closer_than_a_narrow_valley_is_wide(kind: type[CEM | SNES | XNES], generations: int) -> None:
    """A floor of 1e-8 of the first std would leave 1e-10: the steepest axis counts a million times."""
    search = kind(torch.zeros(6, dtype=torch.float64), std=2.0, maximize=False, seed=1)
    for _ in range(generations):
        x = search.ask()
        search.tell(x, ellipsoid(x))
    assert ellipsoid(search.center[None]).item() < 1e-13


@pytest.mark.parametrize("kind", [CEM, SNES, XNES, PGPE])
def test_float32_ends_at_its_last_bits(kind: type[CEM | SNES | XNES | PGPE]) -> None:
    """Candidates then equal the center in most numbers; the few that differ must not widen the std again."""
    decay = {"learning_rate_decay": 0.98} if kind is PGPE else {}  # ClipUp's steps do not shrink by themselves
    search = kind(torch.zeros(6), std=2.0, population=20, maximize=False, seed=1, **decay)
    for generation in range(900):
        x = search.ask()
        metrics = search.tell(x, sphere(x))
        assert generation < 700 or search.std.max() < 1e-4
    assert search.center.tolist() == pytest.approx([3.0] * 6, abs=1e-4 if kind is PGPE else 1e-6)
    assert all(value == value for value in metrics.values())
