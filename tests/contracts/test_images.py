"""Policies that see: layouts of images, stacks, images beside numbers, noise of low rank in kernels."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from quick import weights, without_time
from torch import Tensor

import torchpolicy as tp
from torchpolicy.rollout.members import population_forward


def image(*shape: int) -> Box:
    return Box(0, 255, shape, np.uint8)


def made(space: Any, **arguments: Any) -> tp.ConvPolicy:
    return tp.ConvPolicy(space, Discrete(3), **{"channels": (4,), "hidden": 8, **arguments})


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((8, 9, 3), 3),
        ((3, 8, 9), 3),
        ((8, 9), 1),
        ((10, 10, 10), 10),
        ((4, 8, 9), 4),
        ((4, 8, 9, 3), 12),
        ((4, 3, 8, 9), 12),
    ],
)
def test_channels_are_found_in_every_layout(shape: tuple[int, ...], channels: int) -> None:
    net: Any = made(image(*shape)).net
    assert net[1].in_channels == channels


def test_the_same_image_in_two_layouts_is_the_same_to_it() -> None:
    last, first = made(image(8, 9, 3)), made(image(3, 8, 9))
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 9, 3), np.uint8)
    with torch.no_grad():
        one = last(torch.from_numpy(pixels))
        torch.testing.assert_close(one, first(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())))
    stack: Any = made(image(2, 8, 9, 3)).net[0]
    stacked = stack(torch.from_numpy(pixels[:4].reshape(2, 2, 8, 9, 3)))
    np.testing.assert_array_equal(stacked[1, 3:], pixels[3].transpose(2, 0, 1))


def test_an_image_beside_numbers_has_convolutions_of_its_own() -> None:
    space = Dict({"eye": image(6, 6, 1), "speed": Box(-1, 1, (2,), np.float32), "gear": Discrete(4)})
    policy: Any = made(space)
    assert policy.net[1].in_features == 4 * 4 * 4 + 2 + 4


def test_in_a_nested_collection_each_image_has_convolutions_and_matrices_have_none() -> None:
    inner = Dict({"back": image(6, 6, 1), "joints": Box(-1, 1, (2, 3), np.float32)})
    policy: Any = made(Dict({"eye": image(6, 6), "rest": inner}))
    kinds = [type(branch).__name__ for branch in policy.net[0].branches]
    assert sorted(kinds) == ["Flatten", "Sequential", "Sequential"]
    assert policy.net[1].in_features == 2 * 4 * 4 * 4 + 6
    space = policy.observation_space
    space.seed(0)
    first, *rest = (policy.encode(policy.encoder.pack(space.sample())) for _ in range(2))
    assert first.abs().max() <= 1
    assert not torch.equal(first, rest[0])


def test_grey_images_are_scaled() -> None:
    policy = made(image(6, 6))
    assert policy.encode(torch.full((1, 6, 6), 255, dtype=torch.uint8)).max() == 1


@pytest.mark.parametrize(
    ("space", "arguments", "message"),
    [
        (Box(-1, 1, (4,), np.float32), {}, r"takes images .* got observations of shape \(4,\)"),
        (image(2, 2, 8, 8, 3), {}, r"or stacks of them, got observations of shape \(2, 2, 8, 8, 3\)"),
        (Dict({"a": Discrete(2)}), {}, "needs an image, and there is none in Dict"),
        (image(2, 8, 2), {}, "convolution 1 has kernels of 3 x 3 for images of 2 x 8"),
        (image(8, 8, 3), {"channels": (4, 4), "kernels": (5, 5), "strides": (1, 1)}, "convolution 2 has .* of 4 x 4"),
        (
            image(8, 8, 3),
            {"channels": (4, 4), "kernels": (3, 3, 3)},
            "strides should have a number for each",
        ),
        (image(8, 8, 3), {"kernels": (0,)}, "kernels must be"),
        (image(8, 8, 3), {"strides": "1"}, "strides must be a sequence of integers"),
        (image(8, 8, 3), {"activation": "none"}, "activation must be one of"),
    ],
)
def test_odd_images_are_refused_in_one_line(space: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(space, **arguments)


@pytest.mark.parametrize("rank", [1, 2])
def test_noise_of_low_rank_in_kernels(rank: int) -> None:
    policy = made(image(8, 8, 3), channels=(6, 5), kernels=(3, 3), strides=(2, 1), hidden=(7,))
    vector = tp.ParamVector(policy.net)
    candidates: Any = tp.NES(
        vector.read(), population=6, std=vector.initial_scale(), noise_rank=rank, slices=vector.slices
    ).ask()
    assert candidates.rank == rank
    inputs = torch.rand(6, 3, 8, 8, 3)
    members = population_forward(policy.net, vector, candidates)
    assert {"1.weight", "3.weight"} <= set(members._shared)
    dense: Tensor = population_forward(policy.net, vector, candidates.dense())(inputs)
    torch.testing.assert_close(members(inputs), dense)


def test_one_kernel_and_one_stride_stand_for_all() -> None:
    settings: Any = made(image(12, 12, 3), channels=(4, 4), kernels=3).settings
    assert (settings["policy_args"]["kernels"], settings["policy_args"]["strides"]) == ([3, 3], [1, 1])


class Find(gymnasium.Env[Any, Any]):
    """In which half of an image is the bright spot? 1 for each right answer, 8 a game."""

    observation_space = Box(0, 255, (6, 6, 1), np.uint8)
    action_space = Discrete(2)

    def _look(self) -> Any:
        seen = np.zeros((6, 6, 1), np.uint8)
        self._row, column = self.np_random.integers(6, size=2)
        seen[self._row, column] = 255
        return seen

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._steps = 0
        return self._look(), {}

    def step(self, action: int) -> Any:
        reward = float(action == (self._row > 2))
        self._steps += 1
        return self._look(), reward, self._steps == 8, False, {}


CONV: dict[str, Any] = {"policy": "conv", "policy_args": {"channels": [3], "hidden": 6}, "eval_episodes": 20}


@pytest.mark.parametrize("arguments", [{"noise_rank": 1}, {}])
def test_bits_do_not_depend_on_processes(arguments: dict[str, Any]) -> None:
    one, two = (
        tp.train(Find, "nes", generations=4, population=20, workers=workers, **CONV, **arguments) for workers in (1, 2)
    )
    assert weights(one).tolist() == weights(two).tolist()
    assert without_time(one.metrics) == without_time(two.metrics)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("snes", {"generations": 60, "population": 40, "episodes": 4}), ("deepcem", {"generations": 30, "episodes": 60})],
)
def test_it_learns_to_look(name: str, arguments: dict[str, Any]) -> None:
    assert tp.train(Find, name, target=None, **CONV, **arguments).evaluation.mean > 7.5
