"""Learning rates that follow the signal-to-noise ratio: the paper's equations, and what they are for."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import torchpolicy as tp
from torchpolicy.vectors.auto_rate import AutoRate

KINDS: list[Any] = [tp.SNES, tp.XNES, tp.NES, tp.PGPE]


def test_the_factor_is_the_papers() -> None:
    generator = np.random.default_rng(0)
    updates = 0.3 + generator.standard_normal((40, 5))
    rate, mean, square, factor = AutoRate(torch.zeros(5, dtype=torch.float64)), np.zeros(5), 0.0, 1.0
    for update in updates:
        mean = 0.9 * mean + 0.1 * update
        square = 0.9 * square + 0.1 * (update**2).sum()
        ratio = ((mean**2).sum() - 0.1 / 1.9 * square) / (square - (mean**2).sum())
        before = factor
        factor *= np.exp(min(0.1 * factor, 0.1) * np.clip(ratio / (1.4 * factor) - 1, -1, 1))
        factor = min(factor, 1.0)
        found, wider = rate.follow(torch.from_numpy(update))
        assert found == pytest.approx(factor, rel=1e-12)
        assert wider == pytest.approx(before / factor, rel=1e-12)


def test_it_falls_where_there_is_only_noise_and_stays_where_all_steps_point_one_way() -> None:
    torch.manual_seed(0)
    noise, signal = AutoRate(torch.zeros(20)), AutoRate(torch.zeros(20))
    for _ in range(100):
        noise.follow(torch.randn(20))
        signal.follow(torch.ones(20))
    assert noise.factor < 0.2
    assert signal.factor == 1.0


def _noisy_sphere(kind: Any, learning_rate: Any, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    start = torch.full((10,), 3.0, dtype=torch.float64)
    search = kind(start, std=2.0, seed=seed, maximize=False, **learning_rate)
    for _ in range(15_000 // search.population):
        candidates = search.ask()
        noise = torch.randn(len(candidates), generator=generator, dtype=torch.float64)
        search.tell(candidates, candidates.square().sum(1) + noise)
    return float(search.center.square().sum())


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_closer_to_the_optimum_under_noise(kind: Any) -> None:
    without = np.median([_noisy_sphere(kind, {}, seed) for seed in range(3)])
    auto = np.median([_noisy_sphere(kind, {"learning_rate": "auto"}, seed) for seed in range(3)])
    assert auto < without / 4


def _told(search: Any, generations: int) -> Tensor:
    for _ in range(generations):
        candidates = search.ask()
        told = search.tell(candidates, -(candidates - 1).abs().sum(1))
        assert told["search/learning_rate"] > 0
    center: Tensor = search.center
    return center


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_exactly(kind: Any) -> None:
    def new() -> Any:
        return kind(torch.zeros(6), std=0.5, seed=3, learning_rate="auto")

    whole = _told(new(), 12)
    part, again = new(), new()
    _told(part, 5)
    again.load_state_dict(part.state_dict())
    assert torch.equal(_told(again, 7), whole)
    with pytest.raises(ValueError, match="auto"):
        kind(torch.zeros(6), std=0.5).load_state_dict(part.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_states_and_other_words_are_refused(kind: Any) -> None:
    state = kind(torch.zeros(6), std=0.5, learning_rate="auto").state_dict()
    for name, value in {"factor": 2.0, "mean": torch.ones(5), "square": -1.0}.items():
        with pytest.raises(ValueError, match=name):
            kind(torch.zeros(6), std=0.5, learning_rate="auto").load_state_dict(
                state | {"auto": {**state["auto"], name: value}}
            )
    with pytest.raises(ValueError, match="learning_rate"):
        kind(torch.zeros(6), std=0.5, learning_rate="fast")
