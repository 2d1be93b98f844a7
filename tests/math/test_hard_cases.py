"""Cases at the edge of what numbers can hold, each of which was a bug once."""

from collections.abc import Callable

import pytest
import torch

from torchpolicy import ARS, NES, PGPE, SNES, XNES, Search
from torchpolicy.training.plan import Plan
from torchpolicy.vectors.shaping import standardized


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(2))
def test_xnes_stays_finite_where_a_direction_is_free(dtype: torch.dtype, seed: int) -> None:
    search = XNES(torch.zeros(2, dtype=dtype), seed=seed)
    for _ in range(300):
        x = search.ask()
        search.tell(x, -(x.sum(1) ** 2))
        assert search.center.isfinite().all()
        assert search.transform.isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_xnes_stays_finite_in_float32_at_the_default_floor(seed: int) -> None:
    search = XNES(torch.zeros(3), std=2.0, seed=seed)
    for _ in range(200):
        x = search.ask()
        search.tell(x, -(x - search.center).square().sum(1))
        assert search.transform.isfinite().all()


@pytest.mark.parametrize("dim", [2, 20])
@pytest.mark.parametrize("seed", range(2))
def test_xnes_in_float32_goes_on_after_it_has_found_the_optimum(dim: int, seed: int) -> None:
    search = XNES(torch.zeros(dim), std=2.0, seed=seed, population=64, shape_learning_rate=0.2)
    for _ in range(500):
        x = search.ask()
        search.tell(x, -(x - 3).square().sum(1))
        assert search.center.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ars_stays_where_the_top_scores_are_equal_but_not_dyadic(dtype: torch.dtype) -> None:
    search = ARS(torch.zeros(5, dtype=dtype), population=10, top_directions=3)
    scores = torch.full((10,), 0.1, dtype=torch.float64)
    scores[4:8] = -1
    metrics = search.tell(search.ask(), scores)
    assert metrics["search/stalled"] == 1
    assert metrics["search/step_norm"] == 0


def test_ars_in_float32_does_not_depend_on_the_offset_of_scores() -> None:
    steps = []
    for offset in (0.0, 1e6):
        search = ARS(torch.zeros(20), population=40, seed=1)
        x = search.ask()
        search.tell(x, x.sum(1).double() + offset)
        steps.append(search.center)
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("baseline", ["mean", "standardized", "ranks"])
def test_pgpe_takes_no_step_where_both_ends_of_every_pair_are_equal(baseline: str, dtype: torch.dtype) -> None:
    search = PGPE(torch.full((5,), 0.3, dtype=dtype), population=10, baseline=baseline)
    metrics = search.tell(search.ask(), torch.arange(5.0).repeat_interleave(2))
    assert metrics["search/step_norm"] < 1e-3 * search.learning_rate


def test_nes_takes_no_step_by_adam_where_both_ends_of_every_pair_are_equal() -> None:
    search = NES(torch.full((5,), 0.3), population=10)
    metrics = search.tell(search.ask(), torch.arange(5.0).repeat_interleave(2))
    assert metrics["search/step_norm"] < 1e-3 * search.learning_rate


def test_equal_scores_are_standardized_to_zero() -> None:
    assert not standardized(torch.full((3,), 0.1)).any()


@pytest.mark.parametrize("damage", ["missing", "scalar", "none", "other"])
def test_a_damaged_state_of_the_optimizer_is_refused(damage: str) -> None:
    search = NES(torch.zeros(3))
    x = search.ask()
    search.tell(x, x.sum(1))
    state = search.state_dict()
    if damage == "missing":
        del state["ascent"]["exp_avg_sq"]
    elif damage == "scalar":
        state["ascent"]["exp_avg"] = torch.zeros(())
    elif damage == "none":
        state["ascent"]["exp_avg"] = None
    fresh = NES(torch.zeros(3), optimizer="clipup" if damage == "other" else "adam")
    with pytest.raises(ValueError, match="optimizer"):
        fresh.load_state_dict(state)


@pytest.mark.parametrize("score", [-1e39, -1e200])
@pytest.mark.parametrize(
    "make",
    [
        lambda: NES(torch.zeros(5), population=10, baseline="mean"),
        lambda: PGPE(torch.zeros(5), population=10, baseline="mean"),
    ],
)
def test_a_huge_finite_score_leaves_no_nan(make: Callable[[], NES | PGPE], score: float) -> None:
    search = make()
    scores = torch.arange(10.0).double()
    scores[1] = score
    search.tell(search.ask(), scores)
    assert search.center.isfinite().all()
    assert search.std.isfinite().all()


@pytest.mark.parametrize("algorithm", [NES, SNES, PGPE])
def test_a_std_whose_square_is_0_is_refused(algorithm: type[Search]) -> None:
    with pytest.raises(ValueError, match="std must be positive and finite, got 1e-30"):
        algorithm(torch.zeros(5), std=1e-30, population=10)


def test_a_score_that_is_nan_is_not_settled() -> None:
    assert not Plan(0, tolerance=1.0, tolerance_generations=10).is_settled([(0, 1.0), (5, float("nan")), (10, 1.0)])
