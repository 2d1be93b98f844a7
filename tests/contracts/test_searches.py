"""What every search keeps to; a new file in ``torchpolicy/search`` is tested here by itself."""

import textwrap
from math import isfinite

import pytest
import torch
from torch import Tensor

from torchpolicy import Search
from torchpolicy.base.discovery import names
from torchpolicy.runs.algorithms import STD_SCALE, algorithm_class, descriptions_of, hyperparameters_of

pytestmark = pytest.mark.parametrize("name", names("search"))


def make(name: str, dim: int = 6, **arguments: object) -> Search:
    return algorithm_class(name)(torch.full((dim,), 2.0), **arguments)


def sphere(x: Tensor) -> Tensor:
    return -x.square().sum(1)


def run(search: Search, generations: int) -> Tensor:
    for _ in range(generations):
        x = search.ask()
        search.tell(x, sphere(x))
    return search.center


def test_improves_a_sphere(name: str) -> None:
    assert sphere(run(make(name), 100)[None]) > -0.1


def test_minimises_what_it_would_maximise(name: str) -> None:
    search = make(name, maximize=False)
    for _ in range(20):
        x = search.ask()
        search.tell(x, -sphere(x))
    assert torch.equal(search.center, run(make(name), 20))


def test_shapes_and_dtype(name: str) -> None:
    search = algorithm_class(name)(torch.zeros(5, dtype=torch.float64), population=8)
    assert search.ask().shape == (8, 5)
    assert search.ask().dtype is search.center.dtype is torch.float64


def test_same_seed_same_bits_and_no_global_rng(name: str) -> None:
    before = torch.get_rng_state()
    first = run(make(name, seed=3), 5)
    torch.manual_seed(99)
    assert torch.equal(run(make(name, seed=3), 5), first)
    assert not torch.equal(run(make(name, seed=4), 5), first)
    torch.set_rng_state(before)
    run(make(name, seed=3), 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_state_dict_continues_exactly(name: str) -> None:
    search = make(name)
    run(search, 4)
    state = search.state_dict()
    expected = run(search, 4)
    resumed = make(name, seed=77)
    resumed.load_state_dict(state)
    assert torch.equal(run(resumed, 4), expected)
    assert resumed.generation == 8


def test_state_of_another_dimension_or_kind_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"center should have shape \(6,\) of torch.float32, got \(7,\)"):
        make(name).load_state_dict(make(name, dim=7).state_dict())
    with pytest.raises(ValueError, match="not the state of a"):
        make(name).load_state_dict({"center": torch.zeros(6)})


def same(first: Search, second: Search) -> bool:
    """Whether two searches would go on alike."""
    one, other = first.state_dict(), second.state_dict()
    flat = [
        {f"{key}/{inner}": item for key, value in state.items() for inner, item in _items(value)}
        for state in (one, other)
    ]
    return all(torch.equal(torch.as_tensor(flat[0][key]), torch.as_tensor(flat[1][key])) for key in flat[0])


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else [("", value)]


@pytest.mark.parametrize(
    ("scores", "failed"), [([4.0] * 6, 0), ([torch.nan] * 6, 6), ([torch.inf] * 5 + [1.0], 5), ([-1e300] * 6, 6)]
)
def test_a_generation_without_a_lesson_changes_nothing(name: str, scores: list[float], failed: int) -> None:
    search, untouched = (make(name, population=6) for _ in range(2))
    untouched.ask()
    untouched.generation += 1
    metrics = search.tell(search.ask(), torch.tensor(scores, dtype=torch.float64))
    assert (metrics["search/stalled"], metrics["search/failed"], metrics["search/step_norm"]) == (1, failed, 0)
    assert same(search, untouched)


def test_what_failed_is_left_out_with_its_pair(name: str) -> None:
    partly, alone = (make(name, population=8) for _ in range(2))
    x = partly.ask()
    alone.ask()
    scores, rest = sphere(x), [0, 1, 2, 3, 6, 7] if partly.mirrored else [0, 1, 2, 3, 4, 6, 7]
    alone.tell(x[rest], scores[rest])
    scores[5] = torch.nan
    metrics = partly.tell(x, scores)
    assert (metrics["search/failed"], metrics["search/stalled"]) == (1, 0)
    assert same(partly, alone)
    assert not partly.center.eq(2).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_stays_finite_however_narrow(name: str, dtype: torch.dtype) -> None:
    """A score that always prefers the center."""
    search = algorithm_class(name)(torch.zeros(3, dtype=dtype), std=2.0)
    at_floor = []
    for _ in range(300):
        x = search.ask()
        metrics = search.tell(x, -(x - search.center).square().sum(1))
        at_floor.append(metrics.get("search/std_floor", 0))
        assert x.isfinite().all()
        assert search.center.isfinite().all()
        assert all(isfinite(value) for value in metrics.values())
    assert all(0 <= share <= 1 for share in at_floor)


def test_all_stays_finite_however_wide(name: str) -> None:
    """A score that always prefers what is farther out."""
    search = make(name)
    for _ in range(300):
        x = search.ask()
        search.tell(x, x.abs().sum(1))
        assert x.isfinite().all()
        assert search.center.isfinite().all()


def test_the_start_is_copied(name: str) -> None:
    start = torch.full((6,), 2.0)
    run(algorithm_class(name)(start), 2)
    assert start.eq(2).all()


def test_wrong_shapes_are_named(name: str) -> None:
    search = make(name)
    with pytest.raises(ValueError, match=r"candidates must have shape \(N, 6\), got \(4, 5\)"):
        search.tell(torch.zeros(4, 5), torch.zeros(4))
    with pytest.raises(ValueError, match=r"scores must have shape \(4,\), got \(3,\)"):
        search.tell(torch.zeros(4, 6), torch.zeros(3))
    with pytest.raises(ValueError, match="center must be a tensor of float32 or float64"):
        algorithm_class(name)(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="population must be an integer >= 2, got 1"):
        make(name, population=1)


def test_every_hyperparameter_is_documented(name: str) -> None:
    algorithm = algorithm_class(name)
    for hyperparameter in hyperparameters_of(algorithm).keys() - {STD_SCALE.name}:  # the run's
        assert descriptions_of(algorithm)[hyperparameter].endswith((".", ".)"))


def test_the_example_in_the_docstring_runs(name: str) -> None:
    documentation = algorithm_class(name).__doc__ or ""
    example = textwrap.dedent(documentation.split("Example::\n")[1].split("\n\n")[0])
    scope = {"torch": torch, algorithm_class(name).__name__: algorithm_class(name)}
    exec(example, scope)
    search = scope["search"]
    assert isinstance(search, Search)
    assert search.center.tolist() == pytest.approx([3.0] * search.dim, abs=0.1)
