"""What every policy keeps to; a new file in ``torchpolicy/policies`` is tested here by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, Sequence, Text, Tuple

from torchpolicy import Policy, load
from torchpolicy.base.discovery import names
from torchpolicy.output.saved_policy import save_policy
from torchpolicy.policies.make import policy_class

OBSERVATIONS = {
    "vector": Box(-1, 1, (3,), np.float32),
    "scalar": Box(-1, 1, (), np.float64),
    "unbounded": Box(-np.inf, np.inf, (3,), np.float64),
    "image": Box(0, 255, (4, 4, 2), np.uint8),
    "discrete": Discrete(5, start=2),
}
ACTIONS = {
    "discrete": Discrete(3),
    "shifted": Discrete(3, start=-1),
    "box": Box(-2, 1, (2,), np.float32),
    "matrix": Box(-1, 1, (2, 2), np.float64),
    "half open": Box(0, np.inf, (2,), np.float32),
}

pytestmark = pytest.mark.parametrize("name", names("policies"))
observations = pytest.mark.parametrize("observation", OBSERVATIONS)
actions = pytest.mark.parametrize("action", ACTIONS)


def make(name: str, observation: str, action: str, seed: int = 0) -> Policy:
    if name == "conv" and observation != "image":
        pytest.skip("it sees images only")
    return policy_class(name)(OBSERVATIONS[observation], ACTIONS[action], seed=seed)


def kind_for(name: str) -> str:
    """An observation that a policy of this name takes."""
    return "image" if name == "conv" else "vector"


def act(policy: Policy, obs: Any, **arguments: Any) -> Any:
    """What a policy does first in an episode."""
    answer = policy.act(obs, **arguments)
    return answer[0] if policy.recurrent else answer


def draw(space: Space[Any], count: int) -> Any:
    space.seed(0)
    return np.stack([space.sample() for _ in range(count)])


@observations
@actions
def test_acts_within_the_action_space(name: str, observation: str, action: str) -> None:
    policy = make(name, observation, action)
    batch = draw(OBSERVATIONS[observation], 6)
    together = act(policy, batch)
    assert isinstance(together, np.ndarray)
    for row, obs in enumerate(batch):
        one = act(policy, obs)
        assert ACTIONS[action].contains(one)
        assert not isinstance(one, torch.Tensor)
        np.testing.assert_allclose(one, together[row], rtol=1e-4, atol=1e-6)
    tensors = act(policy, torch.from_numpy(batch))
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_array_equal(tensors, together)


@observations
def test_forward_takes_any_batch_dimensions(name: str, observation: str) -> None:
    policy = make(name, observation, "discrete")
    if policy.recurrent:
        pytest.skip("a state has one batch dimension")
    batch = torch.from_numpy(draw(OBSERVATIONS[observation], 6))
    flat = policy(batch)
    assert flat.shape == (6, 3)
    torch.testing.assert_close(policy(batch.reshape(2, 3, *batch.shape[1:])), flat.reshape(2, 3, 3))
    torch.testing.assert_close(policy(batch[0]), flat[0])


def test_sampling_follows_the_generator(name: str) -> None:
    policy = make(name, kind_for(name), "shifted")
    batch = np.zeros((200, *policy.encoder.observation_shape), np.float32)
    first = act(policy, batch, generator=torch.Generator().manual_seed(1))
    assert set(first) == {-1, 0, 1}
    np.testing.assert_array_equal(act(policy, batch, generator=torch.Generator().manual_seed(1)), first)
    assert (act(policy, batch, generator=torch.Generator().manual_seed(2)) != first).any()
    assert len(set(act(policy, batch))) == 1


def test_seed_sets_the_weights_without_the_global_rng(name: str) -> None:
    before = torch.get_rng_state()
    first, same, other = (make(name, kind_for(name), "box", seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@observations
@actions
def test_saved_and_loaded_it_acts_the_same(name: str, observation: str, action: str, tmp_path: Path) -> None:
    policy = make(name, observation, action, seed=5)
    save_policy(tmp_path, policy)
    loaded = load(tmp_path)
    assert type(loaded) is type(policy)
    assert (loaded.observation_space, loaded.action_space) == (policy.observation_space, policy.action_space)
    batch = draw(OBSERVATIONS[observation], 6)
    np.testing.assert_array_equal(act(loaded, batch), act(policy, batch))


def test_wrong_observations_are_named(name: str) -> None:
    policy = make(name, kind_for(name), "box")
    shape = ", ".join(map(str, policy.encoder.observation_shape))
    with pytest.raises(ValueError, match=rf"expected obs of shape \({shape},?\) or .* got \(7,\)"):
        policy.act(np.zeros(7))


@pytest.mark.parametrize(
    ("observation", "action", "message"),
    [
        (Dict({"a": Text(5)}), Discrete(2), "observation space Text.* not supported.*TransformObservation"),
        (Sequence(Discrete(2)), Discrete(2), "observation space Sequence.* not supported.*TransformObservation"),
        (Dict({}), Discrete(2), "observation space Dict.* is empty"),
        (Discrete(2), Tuple([Discrete(2)]), "action space Tuple.* not supported.*TransformAction"),
        (Discrete(2), Box(0, 5, (2,), np.int32), "action space Box.* not supported.*TransformAction"),
    ],
)
def test_other_spaces_are_refused(name: str, observation: Space[Any], action: Space[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        policy_class(name)(observation, action)
