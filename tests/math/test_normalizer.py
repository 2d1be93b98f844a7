import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from torchpolicy.policies.parts.normalizer import LIMIT, Moments, Normalizer

Data = NDArray[np.float64]


def moments_of(normalizer: Normalizer, pieces: list[Data]) -> tuple[Data, Data]:
    """What is told of pieces of work, (n, *O) each."""
    mean = normalizer.mean.numpy()
    sums = [[(piece - mean).sum(0), ((piece - mean) ** 2).sum(0)] for piece in pieces]
    return np.array(sums), np.array([len(piece) for piece in pieces])


def told(data: Data, *generations: list[int]) -> Normalizer:
    """A normaliser after as many generations, whose pieces of work have these lengths."""
    normalizer, begin = Normalizer(data.shape[1:]), 0
    for lengths in generations:
        pieces = np.split(data[begin : begin + sum(lengths)], np.cumsum(lengths)[:-1])
        begin += sum(lengths)
        normalizer.update(*moments_of(normalizer, pieces))
    assert begin == len(data)
    return normalizer


def mean_and_variance(normalizer: Normalizer) -> tuple[Data, Data]:
    return normalizer.mean.numpy(), (normalizer.squares / normalizer.count).numpy()


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=5).filter(
        lambda x: sum(map(sum, x)) > 1
    ),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1.0, -1e4]),
)
def test_any_split_equals_one_pass(generations: list[list[int]], seed: int, offset: float) -> None:
    count = sum(map(sum, generations))
    data = offset + np.random.default_rng(seed).normal(size=(count, 2)) * [1.0, 100.0]
    normalizer = told(data, *generations)
    assert normalizer.count == count
    rounding = 1e-14 * offset**2  # of squared deviations from 0, before there is a mean
    for mean, variance in [(data.mean(0), data.var(0)), mean_and_variance(told(data, [count]))]:
        np.testing.assert_allclose(normalizer.mean, mean, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(mean_and_variance(normalizer)[1], variance, rtol=1e-9, atol=rounding)


def test_pieces_are_added_in_the_order_in_which_they_come() -> None:
    """Whoever did the work: the bits are those of a sum from the first to the last."""
    rng = np.random.default_rng(0)
    moments, counts = rng.normal(size=(50, 2, 3)) ** 2 * 10.0 ** rng.integers(-8, 9, (50, 1, 1)), np.full(50, 7)
    total = np.zeros((2, 3))
    for piece in moments:
        total = total + piece
    one, many = Normalizer((3,)), Normalizer((3,))
    one.update(total[None], np.array([350]))
    many.update(moments, counts)
    assert all(torch.equal(a, b) for a, b in zip(one.buffers(), many.buffers(), strict=True))


def test_observations_come_to_mean_0_and_std_1_within_the_limit() -> None:
    data = np.random.default_rng(0).normal(size=(500, 3)) * [1, 0.01, 50] + [5, 0, -1000]
    normalizer = told(data, [200, 300])
    normalized = normalizer(torch.from_numpy(data)).numpy()
    np.testing.assert_allclose(normalized, (data - data.mean(0)) / data.std(0), rtol=1e-9, atol=1e-9)
    far = normalizer(torch.tensor([[1e6, -1e6, -1000.0]]))
    assert far.dtype is torch.float32
    assert far[0, :2].tolist() == [LIMIT, -LIMIT]


@pytest.mark.parametrize("value", [0.0, 0.1, -7.7, 1e6, 1e-9])
def test_a_constant_entry_is_only_shifted(value: float) -> None:
    normalizer = told(np.full((30, 1), value), [10, 5], [15])
    assert normalizer.std.item() == 1
    shifted = normalizer(torch.tensor([value, value + 3], dtype=torch.float64))
    assert shifted.tolist() == pytest.approx([0, 3])


@pytest.mark.parametrize("told_nothing", [False, True])
def test_before_the_first_update_it_changes_nothing(told_nothing: bool) -> None:
    normalizer = Normalizer((2,))
    if told_nothing:
        normalizer.update(np.zeros((3, 2, 2)), np.zeros(3))
    observations = torch.tensor([[1e9, -3.0], [0.1, torch.inf]])
    assert torch.equal(normalizer(observations), observations)
    assert normalizer.std.tolist() == [1, 1]


def test_the_frozen_function_stays_as_it_was() -> None:
    data = np.random.default_rng(0).normal(3, 2, size=(40, 2))
    normalizer = told(data, [40])
    observations = torch.from_numpy(data).float()
    function, copy = normalizer.frozen(torch.float32, "cpu"), observations.clone()
    before = function(observations)
    assert torch.equal(before, normalizer(observations))
    normalizer.update(*moments_of(normalizer, [data * 9]))
    assert torch.equal(function(observations), before)
    assert not torch.equal(normalizer(observations), before)
    assert torch.equal(observations, copy)


def test_state_dict_goes_on_where_it_was() -> None:
    data = np.random.default_rng(0).normal(3, 2, size=(40, 2, 2))
    normalizer, resumed = told(data, [15, 25]), Normalizer((2, 2))
    resumed.load_state_dict(normalizer.state_dict())
    for each in (normalizer, resumed):
        each.update(*moments_of(each, [data + 1]))
    assert resumed.count == 80
    assert all(torch.equal(a, b) for a, b in zip(resumed.buffers(), normalizer.buffers(), strict=True))


def test_moments_are_kept_slot_by_slot() -> None:
    data = np.random.default_rng(0).normal(3, 2, size=(6, 2, 3))  # (steps, S, O)
    normalizer = told(data[:, 0], [6])
    moments = Moments(normalizer, 2, torch.device("cpu"))
    for t, observations in enumerate(data):
        if t == 4:
            moments.restart(1)
        moments.add(torch.from_numpy(observations))
    np.testing.assert_allclose(moments.sums[:1], moments_of(normalizer, [data[:, 0]])[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.sums[1:], moments_of(normalizer, [data[4:, 1]])[0], rtol=1e-12, atol=1e-12)
