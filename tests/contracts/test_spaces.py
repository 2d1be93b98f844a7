"""Every kind of observation with every kind of action, where the best is known: train, score, load and export."""

import json
import subprocess
import sys
from collections.abc import Iterable
from itertools import cycle, product
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

import torchpolicy as tp
from torchpolicy.policies.parts.encoders import ObservationError, make_encoder
from torchpolicy.policies.parts.heads import make_head
from torchpolicy.policies.parts.spaces import space_from_json, space_to_json

IMAGE = np.zeros((3, 2, 2, 1), np.uint8)  # of each of three things to be told apart
IMAGE[[0, 1, 2], [0, 0, 1], [0, 1, 1]] = 255

SEEN: dict[str, tuple[Any, Any]] = {  # a space, and what is seen in it of each of three things
    "box": (Box(-np.inf, np.inf, (3,)), np.eye(3, dtype=np.float32)),
    "float64": (Box(-1, 1, (1, 2), np.float64), np.array([[[-1.0, 1.0]], [[1.0, 1.0]], [[1.0, -1.0]]])),
    "image": (Box(0, 255, (2, 2, 1), np.uint8), IMAGE),
    "bytes": (Box(0, 4, (3,), np.uint8), 4 * np.eye(3, dtype=np.uint8)),
    "discrete": (Discrete(3, start=-1), np.arange(-1, 2)),
    "multidiscrete": (MultiDiscrete([2, 3], start=[5, -2]), np.array([[5, -2], [6, 0], [5, -1]])),
    "multibinary": (MultiBinary((3, 1)), np.eye(3, dtype=np.int8)[:, :, None]),
    "dict": (
        Dict(place=Box(-1, 1, (), np.float64), kind=Dict(of=Discrete(3))),
        [{"place": np.array(0.3), "kind": {"of": np.int64(k)}} for k in range(3)],
    ),
    "tuple": (
        Tuple([MultiBinary(3), Box(0, 255, (2, 2, 1), np.uint8)]),
        [*zip(np.eye(3, dtype=np.int8), IMAGE, strict=True)],
    ),
}

DONE: dict[str, tuple[Any, Any]] = {  # a space, and the best action in it for each of the three
    "discrete": (Discrete(3, start=5), np.array([6, 5, 7])),
    "multidiscrete": (MultiDiscrete([3, 2], start=[1, 0]), np.array([[1, 1], [2, 0], [3, 1]])),
    "matrix": (MultiDiscrete([[2, 2], [3, 2]]), np.array([[[0, 1], [2, 1]], [[1, 1], [0, 0]], [[0, 0], [1, 1]]])),
    "multibinary": (MultiBinary((2, 1)), np.array([[[0], [1]], [[1], [0]], [[1], [1]]], np.int8)),
    "box": (Box(-1, 2, (2,)), np.array([[-0.5, 1.5], [1.0, 0.0], [0.0, 1.0]], np.float32)),
    "unbounded": (Box(-np.inf, np.inf, (1,), np.float64), np.array([[-1.0], [0.0], [1.0]])),
}


class Match(gymnasium.Env[Any, Any]):
    """Do what is best for the thing that is seen, three times; 1 for all that is right, less by the distance."""

    def __init__(self, seen: str, done: str) -> None:
        self.observation_space, self._views = SEEN[seen]
        self.action_space, self._best = DONE[done]

    def _look(self) -> Any:
        return self._views[self._order[min(self._steps, 2)]]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self._order, self._steps = self.np_random.permutation(3), 0
        assert self.observation_space.contains(self._look())
        return self._look(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        best = self._best[self._order[self._steps]]
        wrong = np.abs(action - best) if isinstance(self.action_space, Box) else np.not_equal(action, best)
        self._steps += 1
        return self._look(), 1 - float(np.mean(wrong)), self._steps == 3, False, {}


def as_tensors(observation: Any) -> Any:
    if isinstance(observation, dict):
        return {key: as_tensors(part) for key, part in observation.items()}
    if isinstance(observation, tuple):
        return tuple(as_tensors(part) for part in observation)
    return torch.from_numpy(np.asarray(observation))


def check_run(result: tp.Result, seen: str, done: str) -> None:
    """Scored as it plays, the same when loaded, and when exported."""
    assert result.evaluation.mean > 2.5  # of 3
    policy = tp.load(result.run_dir)
    args = {"seen": seen, "done": done}
    assert tp.evaluate(policy, Match, 20, env_args=args).mean > 2.5
    views, best = SEEN[seen][1], DONE[done][1]
    chosen = [policy.act(view) for view in views]
    assert all(policy.action_space.contains(action) for action in chosen)
    assert np.mean(np.abs(np.array(chosen) - best)) < 0.25
    act = torch.export.load(tp.export(policy, result.run_dir / "policy.pt2")).module()
    exported = [act(as_tensors(tree(view))).numpy()[0] for view in views]
    np.testing.assert_allclose(exported, chosen, atol=1e-6)


def tree(view: Any) -> Any:
    """A batch of one."""
    if isinstance(view, dict):
        return {key: tree(part) for key, part in view.items()}
    return tuple(map(tree, view)) if isinstance(view, tuple) else np.asarray(view)[None]


EVERY_KIND = [*zip(SEEN, cycle(DONE), strict=False)]
"""Pairs in which each space for observations and each for actions is there."""


def pairs(every: Iterable[tuple[str, str]], fast: list[tuple[str, str]]) -> Any:
    """Parameters `seen` and `done`; pairs that are not among the fast ones are slow."""
    found = [pytest.param(*pair, marks=[] if pair in fast else pytest.mark.slow) for pair in every]
    return pytest.mark.parametrize(("seen", "done"), found)


@pairs(product(SEEN, DONE), EVERY_KIND)
def test_searches_match_every_pair(seen: str, done: str, tmp_path: Path) -> None:
    result = tp.train(
        Match, "snes", env_args={"seen": seen, "done": done}, policy="linear", std=1.0, population=60, seed=0,
        generations=60, eval_episodes=20, run_dir=tmp_path / "run",
    )  # fmt: skip
    check_run(result, seen, done)


@pytest.mark.parametrize("algorithm", ["deepcem", "reinforce"])
@pairs(
    dict.fromkeys([*((seen, "multidiscrete") for seen in SEEN), *(("dict", done) for done in DONE)]),
    [("dict", "multidiscrete"), ("image", "multidiscrete"), ("dict", "box"), ("dict", "multibinary")],
)
def test_learners_match_every_kind(seen: str, done: str, algorithm: str, tmp_path: Path) -> None:
    result = tp.train(
        Match, algorithm, env_args={"seen": seen, "done": done}, policy_args={"hidden": (16,)}, episodes=60, seed=0,
        learning_rate=0.03, generations=40, eval_episodes=20, run_dir=tmp_path / "run",
    )  # fmt: skip
    check_run(result, seen, done)


def test_exact_over_processes(tmp_path: Path) -> None:
    """What is seen and chosen travels whole."""
    for algorithm in ("snes", "deepcem"):
        ends = [
            tp.train(
                Match, algorithm, env_args={"seen": "tuple", "done": "matrix"}, policy="linear", episodes=7,
                generations=3, eval_episodes=5, workers=workers, run_dir=tmp_path / f"{algorithm}{workers}",
            ).policy.state_dict()
            for workers in (1, 2)
        ]  # fmt: skip
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


ALONE = """
import json, sys
sys.modules["torchpolicy"] = None
import torch
act = torch.export.load(sys.argv[1]).module()
observations = torch.load(sys.argv[2], weights_only=True)
print(json.dumps(act(observations).tolist()))
"""


@pytest.mark.parametrize("done", DONE)
def test_an_exported_program_needs_nothing_of_ours(done: str, tmp_path: Path) -> None:
    space, head = Box(-np.inf, np.inf, (4,)), DONE[done][0]
    policy = tp.MLPPolicy(space, head, hidden=(16, 16), seed=3)
    policy.normalize()
    assert policy.normalizer is not None
    policy.normalizer.update(np.array([[[1.0, 2.0, 3.0, 0.0], [9.0, 9.0, 9.0, 4.0]]]), np.array([4]))
    observations = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
    torch.save(observations, tmp_path / "observations.pt")
    path = tp.export(policy, tmp_path / "policy.pt2")
    words = [sys.executable, "-c", ALONE, str(path), str(tmp_path / "observations.pt")]
    answer = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert np.array_equal(np.array(answer, head.dtype), policy.act(observations.numpy()))
    assert policy.normalizer is not None  # the policy is what it was


@pytest.mark.parametrize("space", [space for space, _ in [*SEEN.values(), *DONE.values()]], ids=str)
def test_spaces_go_through_json(space: Any) -> None:
    assert space_from_json(json.loads(json.dumps(space_to_json(space)))) == space


@pytest.mark.parametrize("seen", SEEN)
def test_one_and_many_are_encoded_alike(seen: str) -> None:
    space, views = SEEN[seen]
    policy = tp.LinearPolicy(space, Discrete(2))
    encoder = policy.encoder
    kept = torch.from_numpy(encoder.check(list(views)))
    assert kept.shape == (3, *encoder.observation_shape)
    one_by_one = torch.stack([policy.encode(encoder.pack(view)) for view in views])
    assert torch.equal(policy.encode(kept), one_by_one)
    assert one_by_one.shape == (3, *encoder.input_shape)
    assert len(one_by_one.unique(dim=0)) == 3
    assert one_by_one.abs().max() <= (4 if seen == "bytes" else 1)


@pytest.mark.parametrize(
    ("seen", "wrong", "message"),
    [
        ("multidiscrete", np.array([5, 1]), "observation is array.*its space is .5, -2. to .6, 0."),
        ("image", np.zeros((2, 2, 1)), "observation has shape .2, 2, 1. of float64, .* of uint8"),
        ("dict", {"place": 0.1}, "its space has .'kind', 'place'."),
        ("dict", {"place": 0.1, "kind": {"of": 3}}, "in 'kind': in 'of': observation is 3, its space is 0 to 2"),
        ("tuple", np.zeros(3), "its space has .0, 1."),
    ],
)
def test_what_is_not_of_its_space_is_said(seen: str, wrong: Any, message: str) -> None:
    with pytest.raises(ObservationError, match=message):
        make_encoder(SEEN[seen][0]).check([wrong])


def test_log_probabilities_and_entropies_are_those_of_all_the_numbers() -> None:
    head = make_head(MultiDiscrete([2, 3], start=[4, 0]))
    output = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    choices = torch.tensor([[first, second] for first in range(2) for second in range(3)])
    logs = head.log_prob(output.expand(6, 5), choices)
    first, second = output[:2].softmax(0), output[2:].softmax(0)
    assert logs.exp() == pytest.approx(torch.outer(first, second).ravel())
    assert head.entropy(output) == pytest.approx(-(logs.exp() * logs).sum())
    bits = make_head(MultiBinary(2))
    output = torch.tensor([0.3, -2.0], dtype=torch.float64)
    choices = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    logs = bits.log_prob(output.expand(4, 2), choices)
    on = output.sigmoid()
    assert logs.exp() == pytest.approx(
        torch.stack([(1 - on[0]) * (1 - on[1]), (1 - on[0]) * on[1], on[0] * (1 - on[1]), on[0] * on[1]])
    )
    assert bits.entropy(output) == pytest.approx(-(logs.exp() * logs).sum())


@pytest.mark.parametrize("done", ["multidiscrete", "matrix", "multibinary"])
def test_samples_are_as_probable_as_they_say(done: str) -> None:
    head = make_head(DONE[done][0])
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(head.input_size, generator=generator)
    choices = head.choose(output.expand(20_000, -1), head.draw_noise(20_000, generator))
    kinds, counts = choices.unique(dim=0, return_counts=True)
    probabilities = head.log_prob(output.expand(len(kinds), -1), kinds).exp()
    assert (counts / 20_000).tolist() == pytest.approx(probabilities.tolist(), abs=0.015)
    assert float(probabilities.sum()) == pytest.approx(1, abs=0.01)


class Odd(Match):
    """As Match, in a space of one's choice."""

    def __init__(self, done: str, space: Any = None) -> None:
        super().__init__("discrete", done)
        self.action_space = self.action_space if space is None else space


@pytest.mark.parametrize("space", [Discrete(3, start=5, dtype=np.int32), MultiDiscrete([3, 2], np.int32, start=[1, 0])])
def test_a_dtype_goes_with_the_policy(space: Any, tmp_path: Path) -> None:
    done = "discrete" if isinstance(space, Discrete) else "multidiscrete"
    args = {"done": done, "space": space}
    result = tp.train(Odd, "cem", env_args=args, generations=2, eval_episodes=3, run_dir=tmp_path / "run")
    loaded = tp.load(result.run_dir)
    assert loaded.action_space == space
    assert np.asarray(loaded.act(0)).dtype == np.int32


def test_what_cannot_be_saved_is_refused_before_training() -> None:
    class Numbered(Odd):
        observation_space = Dict({0: Discrete(2)})  # type: ignore[dict-item, assignment]

        def __init__(self) -> None:
            super().__init__("discrete")
            self.observation_space = type(self).observation_space

        def _look(self) -> Any:
            return {0: 1}

    with pytest.raises(ValueError, match="cannot be saved"):
        tp.train(Numbered, "cem", generations=1)
    with pytest.raises(ValueError, match="policy_args cannot be saved"):
        tp.train("CartPole-v1", "cem", policy="linear", policy_args={"features": "fourier", "bandwidth": np.float32(2)})


def test_equal_spaces_are_encoded_alike_whatever_the_order_of_their_keys() -> None:
    parts = {"goal": Box(-1, 1, (1,)), "body": Box(-1, 1, (2,))}
    views = {"goal": np.float32([0.5]), "body": np.float32([0.1, -0.7])}
    first, second = Dict(list(parts.items())), Dict(parts)
    assert first == second
    assert list(first.spaces) != list(second.spaces)
    assert torch.equal(make_encoder(first).pack(views), make_encoder(second).pack(views))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"place": np.zeros(2), "kind": {"of": np.zeros(3, int)}}, "one batch size in all of"),
        ({"place": np.zeros(2)}, "expected obs with"),
        ({"place": "here", "kind": {"of": 1}}, "expected obs of shape"),
    ],
)
def test_act_names_what_does_not_fit(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.LinearPolicy(SEEN["dict"][0], Discrete(2)).act(given)


@pytest.mark.parametrize("given", [99, -1, np.array([0, 4]), torch.tensor(5)])
def test_act_refuses_what_is_not_in_a_discrete_space(given: Any) -> None:
    policy = tp.LinearPolicy(Discrete(4), Discrete(2))
    with pytest.raises(ValueError, match="expected obs from 0 to 3, got"):
        policy.act(given)
    assert policy.act(np.array([0, 3])).shape == (2,)


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    policy = tp.LinearPolicy(Box(-1, 1, (3,)), Discrete(2))
    (tmp_path / "folder.pt2").mkdir()
    for what, path, message in (
        (policy, "policy.onnx", "should end in .pt2"),
        (policy, "folder.pt2", "cannot be written"),
        (torch.nn.Linear(3, 2), "policy.pt2", "wrap a module in one"),
    ):
        with pytest.raises(ValueError, match=message):
            tp.export(what, tmp_path / path)  # type: ignore[arg-type]
