import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchpolicy.base.processes import ALONE
from torchpolicy.rollout.episodes import Episodes
from torchpolicy.rollout.recording import BLOCK, Recording


def make(lengths: list[int], seed: int = 0) -> Episodes:
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    return Episodes(
        torch.from_numpy(rng.normal(size=(steps, 2))),
        torch.from_numpy(rng.integers(0, 3, steps)),
        torch.from_numpy(rng.normal(size=steps)),
        torch.tensor(lengths, dtype=torch.int64),
        torch.arange(len(lengths)),
    )


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.sampled_from([1.0, 0.9, 0.0]))
def test_returns_and_rewards_to_go_are_what_a_loop_says(lengths: list[int], discount: float) -> None:
    episodes = make(lengths)
    returns, to_go, times = [], [], []
    for rewards in episodes.rewards.split(lengths):
        returns.append(sum(discount**t * float(reward) for t, reward in enumerate(rewards)))
        for begin in range(len(rewards)):
            to_go.append(sum(discount**t * float(reward) for t, reward in enumerate(rewards[begin:])))
            times.append(begin)
    np.testing.assert_allclose(episodes.returns(discount), returns, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(episodes.rewards_to_go(discount), to_go, rtol=1e-12, atol=1e-12)
    assert episodes.times.tolist() == times
    assert len(episodes) == len(lengths)


def test_selected_and_joined_they_are_whole_again() -> None:
    episodes = make([3, 1, 4])
    first = torch.tensor([True, False, False])
    joined = Episodes.joined([episodes.select(first), episodes.select(~first)])
    assert all(torch.equal(value, joined.as_dict()[name]) for name, value in episodes.as_dict().items())
    middle = episodes.select(torch.tensor([False, True, False]))
    assert torch.equal(middle.observations, episodes.observations[3:4])
    assert episodes.starts.tolist() == [0, 1, 2]


def test_padding_is_zero_after_the_end() -> None:
    episodes = make([2, 3])
    padded = episodes.padded(torch.arange(1.0, 6.0))
    assert padded.tolist() == [[1, 2, 0], [3, 4, 5]]


@pytest.mark.parametrize("first", [0, BLOCK - 2])
def test_a_recording_hands_over_what_ended_in_the_order_of_numbers(first: int) -> None:
    recording = Recording(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    for t in range(first + 2 * BLOCK):
        seen = torch.full((3, 2), float(t)) + torch.tensor([[0], [0.25], [0.5]])
        recording.before(seen, torch.tensor([t, t + 1, t + 2]))
        recording.after(np.array([t, -t, 0.0]))
    recording.keep(7, 1, first, first + BLOCK + 1)  # over the end of a block
    recording.keep(2, 2, 5, 6)
    episodes = recording.gathered(ALONE, range(10, 20))
    assert episodes.seeds.tolist() == [12, 17]
    assert episodes.lengths.tolist() == [1, BLOCK + 1]
    assert episodes.observations.dtype is torch.float32
    expected = np.concatenate([[5.5], np.arange(first, first + BLOCK + 1) + 0.25])
    np.testing.assert_array_equal(episodes.observations, np.stack([expected, expected], 1))
    np.testing.assert_array_equal(episodes.choices[1:], np.arange(first, first + BLOCK + 1) + 1)
    np.testing.assert_array_equal(episodes.rewards[1:], -np.arange(first, first + BLOCK + 1.0))


def test_a_recording_of_nothing_has_no_episodes() -> None:
    episodes = Recording(np.zeros((3, 2), np.float32), np.zeros(3, np.int64)).gathered(ALONE, [])
    assert len(episodes) == 0
    assert episodes.observations.shape == (0, 2)
