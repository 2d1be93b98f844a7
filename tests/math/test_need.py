"""Episodes by need: how many of them a generation plays."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from torchpolicy.training.need import MOST, EpisodesByNeed, agreement, standardized_mean

CENTER = torch.zeros(400, dtype=torch.float64)  # where as many candidates as dimensions cannot average noise away


def generations(noise: float, count: int, need: EpisodesByNeed) -> list[int]:
    """The numbers of episodes that are chosen where a candidate's score is its first number plus noise."""
    generator = torch.Generator().manual_seed(1)
    chosen = []
    for generation in range(count):
        episodes = need.at(generation)
        candidates = torch.randn(40, 400, generator=generator, dtype=torch.float64)
        luck = torch.randn(40, episodes, generator=generator, dtype=torch.float64)
        need.measure(candidates, candidates[:, :1] + noise * luck, CENTER, mirrored=False)
        chosen.append(episodes)
    return chosen


def test_it_falls_to_one_without_noise_and_keeps_looking() -> None:
    chosen = generations(0.0, 20, EpisodesByNeed())
    assert chosen[6:10] == [1, 1, 1, 1]
    assert chosen[10] == 2


def test_it_grows_to_what_noise_needs() -> None:
    need = EpisodesByNeed()
    chosen = generations(3.0, 60, need)
    assert 6 <= np.mean(chosen[-20:]) <= 13  # 9, where noise and signal are equal in the mean over episodes
    assert need.ratio == pytest.approx(1 / 9, rel=0.4)


def test_it_has_a_limit() -> None:
    assert max(generations(1e6, 80, EpisodesByNeed())) == MOST


def test_two_halves_agree_as_much_as_their_directions_do() -> None:
    generator = torch.Generator().manual_seed(0)
    candidates = torch.randn(50, 400, generator=generator, dtype=torch.float64)
    one, other = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    assert agreement(candidates, one, one, CENTER, mirrored=False) == pytest.approx(1)
    assert agreement(candidates, one, -one, CENTER, mirrored=False) == pytest.approx(-1)
    ranks = [torch.from_numpy(np.argsort(np.argsort(each.numpy())) / 49 - 0.5) for each in (one, other)]
    first, second = (weights @ candidates for weights in ranks)
    expected = float(first @ second / first.norm() / second.norm())
    assert agreement(candidates, one, other, CENTER, mirrored=False) == pytest.approx(expected)
    one[3] = float("nan")
    assert np.isfinite(agreement(candidates, one, other, CENTER, mirrored=True))


def test_every_episode_counts_alike() -> None:
    scores = torch.tensor([[1.0, 1000.0, 5.0], [2.0, 3000.0, 5.0], [3.0, 2000.0, 5.0]], dtype=torch.float64)
    order = standardized_mean(scores).argsort()
    assert order.tolist() == [0, 1, 2]  # the second is no better than the third by much, though 1,000 is a lot
    shifted: Tensor = standardized_mean(scores * 10)
    torch.testing.assert_close(shifted, 10 * standardized_mean(scores))


def test_it_goes_on_exactly_and_refuses_what_it_is_not() -> None:
    whole, part, again = EpisodesByNeed(), EpisodesByNeed(), EpisodesByNeed()
    assert generations(2.0, 10, whole)
    generations(2.0, 10, part)
    again.load_state_dict(part.state_dict())
    assert again.state_dict() == whole.state_dict()
    damages: dict[str, Any] = {"count": 0, "ratio": "much", "seen": -1}
    for name, value in damages.items():
        with pytest.raises(ValueError, match=name):
            again.load_state_dict(part.state_dict() | {name: value})


def test_where_too_few_are_left_nothing_is_said() -> None:
    need = EpisodesByNeed()
    scores = torch.full((4, 2), torch.nan, dtype=torch.float64)
    need.measure(torch.zeros(4, 400, dtype=torch.float64), scores, CENTER, mirrored=False)
    scores[0] = scores[3] = 1.0
    need.measure(torch.zeros(4, 400, dtype=torch.float64), scores, CENTER, mirrored=True)
    assert need.seen == 0
