from collections.abc import Callable
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from torchpolicy.vectors.shaping import SHAPINGS, centered_ranks, minus_mean, standardized, utilities

Shaping = Callable[[Tensor], Tensor]

by_rank = pytest.mark.parametrize("shaping", [centered_ranks, utilities])
levels = st.lists(st.integers(0, 5), min_size=2, max_size=30)
heights = st.sets(st.floats(allow_nan=False, allow_infinity=False), min_size=6, max_size=6).map(sorted)


def shared(scores: list[int], values: list[float]) -> NDArray[np.float64]:
    """Values from worst to best, by sorting; equal scores take the mean of theirs."""
    order = sorted(scores)
    return np.array([np.mean([v for s, v in zip(order, values, strict=True) if s == score]) for score in scores])


@settings(max_examples=50)
@given(levels)
def test_centered_ranks_are_the_papers(scores: list[int]) -> None:
    count = len(scores)
    expected = shared(scores, [place / (count - 1) - 0.5 for place in range(count)])
    np.testing.assert_allclose(centered_ranks(torch.tensor(scores)), expected, atol=1e-12)


@settings(max_examples=50)
@given(levels)
def test_utilities_are_the_papers(scores: list[int]) -> None:
    count = len(scores)
    raw = [max(0, log(count / 2 + 1) - log(k)) for k in range(count, 0, -1)]
    expected = shared(scores, [value / sum(raw) - 1 / count for value in raw])
    np.testing.assert_allclose(utilities(torch.tensor(scores)), expected, atol=1e-12)


@by_rank
@settings(max_examples=50)
@given(scores=levels, heights=heights)
def test_a_strictly_increasing_map_changes_nothing(shaping: Shaping, scores: list[int], heights: list[float]) -> None:
    mapped = torch.tensor(heights, dtype=torch.float64)[torch.tensor(scores)]
    assert torch.equal(shaping(mapped), shaping(torch.tensor(scores)))


@by_rank
@settings(max_examples=50)
@given(scores=levels, data=st.data())
def test_a_permutation_is_followed(shaping: Shaping, scores: list[int], data: st.DataObject) -> None:
    order = torch.tensor(data.draw(st.permutations(range(len(scores)))))
    assert torch.equal(shaping(torch.tensor(scores)[order]), shaping(torch.tensor(scores))[order])


@by_rank
@settings(max_examples=50)
@given(scores=levels)
def test_ties_share_better_is_never_less_and_the_sum_is_zero(shaping: Shaping, scores: list[int]) -> None:
    weights = dict(zip(scores, shaping(torch.tensor(scores)).tolist(), strict=True))
    assert shaping(torch.tensor(scores)).tolist() == [weights[score] for score in scores]
    ascending = [weights[score] for score in sorted(weights)]
    assert ascending == pytest.approx(sorted(ascending), abs=1e-15)
    assert shaping(torch.tensor(scores)).sum().item() == pytest.approx(0, abs=1e-12)


def test_ranks_count_every_place_and_utilities_the_better_half_alone() -> None:
    scores = torch.tensor([3.0, 1.0, 4.0, 0.0, 5.0])
    assert centered_ranks(scores).tolist() == [0, -0.25, 0.25, -0.5, 0.5]
    weights = utilities(scores)
    assert weights[1] == weights[3] == -0.2
    assert weights.argmax() == 4


def test_values_less_their_mean_in_units_of_their_deviation() -> None:
    scores = torch.tensor([3.0, -1.0, 400.0, 0.5])
    values = scores.double().numpy()
    np.testing.assert_allclose(minus_mean(scores), values - values.mean(), rtol=1e-12)
    np.testing.assert_allclose(standardized(scores), (values - values.mean()) / values.std(), rtol=1e-12)


@pytest.mark.parametrize("name", SHAPINGS)
@pytest.mark.parametrize("count", [2, 5])
def test_equal_scores_count_for_nothing(name: str, count: int) -> None:
    assert SHAPINGS[name](torch.full((count,), 7.0)).tolist() == pytest.approx([0] * count, abs=1e-15)
    assert utilities(torch.full((count,), 7.0)).tolist() == pytest.approx([0] * count, abs=1e-15)


@pytest.mark.parametrize("shaping", [*SHAPINGS.values(), utilities])
def test_float32_scores_make_float64_weights_and_stay_as_they_were(shaping: Shaping) -> None:
    scores = torch.tensor([1.0, 2.0, 2.0])
    assert shaping(scores).dtype is torch.float64
    assert scores.tolist() == [1, 2, 2]
