"""Restarts: when a search begins again, from where, and that it goes on exactly."""

from functools import partial
from math import pi
from typing import Any

import pytest
import torch
from torch import Tensor

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint

START = torch.full((6,), 3.0, dtype=torch.float64)


def rastrigin(x: Tensor) -> Tensor:
    return 10 * x.shape[1] + (x.square() - 10 * (2 * pi * x).cos()).sum(1)


def best_of(search: Any, evaluations: int) -> float:
    best, used = torch.inf, 0
    while used < evaluations:
        candidates = search.ask()
        values = rastrigin(candidates)
        best, used = min(best, float(values.min())), used + len(values)
        search.tell(candidates, values)
    return best


def test_they_solve_what_one_search_does_not() -> None:
    once = [best_of(tp.CMAES(START, std=2.0, maximize=False, seed=seed), 10_000) for seed in range(4)]
    make = partial(tp.CMAES, std=2.0, maximize=False)
    again = [best_of(tp.Restarts(make, START, seed=seed), 60_000) for seed in range(4)]
    assert not any(value < 1e-6 for value in once)
    assert sum(value < 1e-6 for value in again) >= 3


def told(search: Any, generations: int) -> list[dict[str, float]]:
    found = []
    for _ in range(generations):
        candidates = search.ask()
        found.append(search.tell(candidates, -rastrigin(candidates)))
    return found


def test_a_search_that_stands_still_begins_again_with_twice_the_population() -> None:
    search = tp.Restarts(partial(tp.SNES, std=1e-3), START, patience=3)
    flat = torch.zeros(search.population)
    populations = []
    for _ in range(14):
        populations.append(search.population)
        search.tell(search.ask(), torch.zeros(search.population))
    assert len(flat) == 9
    assert populations == [9] * 6 + [18] * 6 + [36] * 2
    assert search.restarts == 2
    assert not torch.equal(search.center, START)
    assert (search.center - START).abs().max() < 1e-2  # as far away as the first std is wide


def test_one_that_gets_better_does_not_and_one_that_has_converged_does() -> None:
    search = tp.Restarts(partial(tp.SNES, std=0.1, maximize=False), START, patience=5)
    for _ in range(60):
        candidates = search.ask()
        search.tell(candidates, candidates.square().sum(1))
    assert search.restarts == 0
    search.inner.std = search.inner.std * 1e-12
    search.tell(search.ask(), torch.arange(float(search.population)))
    assert search.restarts == 1


def test_it_may_begin_at_the_best_center() -> None:
    search = tp.Restarts(partial(tp.SNES, std=0.1), START, start="best", patience=3)
    centers, scores = [], [1.0, 5.0, 2.0, 2.0, 1.0, 1.0]
    for score in scores:
        search.tell(search.ask(), score + torch.linspace(-0.1, 0.1, search.population))
        centers.append(search.center)
    assert search.restarts == 1
    assert torch.equal(search.center, centers[1])


@pytest.mark.parametrize("before", [5, 9, 20])
def test_it_goes_on_exactly(before: int) -> None:
    def new() -> tp.Restarts:
        return tp.Restarts(partial(tp.CMAES, std=1e-4), START, patience=4, seed=3)

    whole, part, again = new(), new(), new()
    told(whole, 30)
    told(part, before)
    again.load_state_dict(part.state_dict())
    told(again, 30 - before)
    assert torch.equal(again.center, whole.center)
    assert (again.restarts, again.population) == (whole.restarts, whole.population)
    assert whole.restarts > 0
    with pytest.raises(ValueError, match="restarts"):
        again.load_state_dict(tp.CMAES(START).state_dict())


def test_a_run_has_them_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    arguments: dict[str, Any] = {"population": 6, "std": 1e-9, "target": None, "eval_episodes": 2, "eval_every": 50}
    arguments |= {"restarts": True, "max_episode_steps": 5, "preset": False}
    whole = tp.train("CartPole-v1", "snes", generations=110, **arguments)
    assert [row["search/restarts"] for row in whole.metrics][98:101] == [0, 1, 1]
    assert whole.metrics[-1]["search/population"] == 12
    assert "begins again with a population of 12" in capsys.readouterr().err
    tp.train("CartPole-v1", "snes", generations=105, run_dir="part", workers=2, **arguments)
    part = tp.resume("part", generations=110)
    assert torch.equal(tp.ParamVector(part.policy.net).read(), tp.ParamVector(whole.policy.net).read())
    states = [load_checkpoint(result.run_dir / "checkpoints")[0] for result in (whole, part)]
    assert states[0] is not None
    assert states[1] is not None
    assert torch.equal(states[0]["algorithm"]["inner"]["center"], states[1]["algorithm"]["inner"]["center"])


def test_a_learner_and_a_search_of_ones_own_have_none() -> None:
    with pytest.raises(ValueError, match="restarts and stop_early are for searches"):
        tp.train("CartPole-v1", "deepcem", restarts=True)
    with pytest.raises(ValueError, match="Restarts"):
        tp.train("CartPole-v1", tp.SNES(torch.zeros(10)), restarts=True)


def test_a_fresh_center_is_within_the_bounds_and_every_search_has_a_seed_of_its_own() -> None:
    make = partial(tp.SNES, std=5.0, bounds=(0.0, 4.0))
    searches = [tp.Restarts(make, START, patience=2, seed=seed) for seed in (0, 1)]
    for _ in range(9):
        for search in searches:
            search.tell(search.ask(), torch.zeros(search.population))
            assert ((search.center >= 0) & (search.center <= 4)).all()
    following = tp.SNES(START, std=5.0, population=search.population, seed=2)  # the next whole number
    assert not torch.equal(searches[0].inner.generator.get_state(), following.generator.get_state())


@pytest.mark.parametrize("make", [None, 3, lambda center: tp.SNES(center)])
def test_what_makes_no_searches_is_refused_at_once(make: Any) -> None:
    with pytest.raises(ValueError, match="make must take center, seed and population"):
        tp.Restarts(make, START)


def test_damaged_states_are_refused() -> None:
    search = tp.Restarts(partial(tp.SNES, std=0.1), START)
    told(search, 2)
    damages: dict[str, Any] = {"generation": "x", "medians": ["a"], "best_median": "x", "best_center": torch.zeros(2)}
    for name, value in damages.items():
        with pytest.raises(ValueError, match=name):
            search.load_state_dict(search.state_dict() | {name: value})


def test_it_is_as_resumable_as_what_it_is_around() -> None:
    class Blind:
        mean = START.numpy()

        def ask(self) -> Any:
            return self.mean + torch.randn(6, 6).numpy()

        def tell(self, vectors: Any, values: Any) -> None:
            pass

    def make(center: Tensor, seed: int, population: int | None = None) -> tp.Search:
        return tp.Ask(Blind(), center=center)

    assert not tp.Restarts(make, START).resumable
    assert tp.Restarts(partial(tp.SNES, std=0.1), START).resumable
    assert tp.Restarts(partial(tp.SNES, std=0.1), START).auto is None
    assert tp.Restarts(partial(tp.SNES, learning_rate="auto"), START).auto is not None
