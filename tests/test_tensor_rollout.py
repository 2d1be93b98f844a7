"""Environments on tensors, of ours and of the user's own."""

import gc
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

import torchpolicy as tp
from torchpolicy import LinearPolicy, MLPPolicy, ParamVector, Policy, TensorEnv, TensorRollout
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.native.cartpole import CartPole as TensorCartPole
from torchpolicy.envs.tensor import Row
from torchpolicy.rollout.make import make_rollout
from torchpolicy.rollout.stepper import Stepper


class Walk(TensorEnv):
    """Walks by the action from a random place; ends beyond 10; NaN beyond `breaks_at`."""

    observation_space = Box(-np.inf, np.inf, (1,))
    action_space = Discrete(2)
    time_limit = 100

    def __init__(self, breaks_at: float = np.inf) -> None:
        self.breaks_at = breaks_at

    def initial(self, rng: np.random.Generator) -> Any:
        return np.array([rng.uniform(0, 9)])

    def transition(self, state: Row, action: Tensor) -> Row:
        place = state[0] + action
        return (torch.where(place > self.breaks_at, torch.nan, place),)

    def observation(self, state: Row) -> Row:
        return state

    def reward(self, state: Row, action: Tensor, next_state: Row) -> Tensor:
        return torch.ones_like(state[0])

    def terminal(self, state: Row) -> Tensor:
        return state[0] > 10


class Image(Walk):
    """Shows a picture of its place."""

    observation_space = Box(0, 255, (2, 3), np.uint8)

    def observation(self, state: Row) -> Tensor:
        return state[0].view(-1, 1, 1).expand(-1, 2, 3)


def of(env: Any, **arguments: Any) -> tuple[TensorRollout, Tensor]:
    """A rollout, and two candidates: one that walks, one that stays."""
    environment = make_environment(env, **arguments)
    policy = LinearPolicy(*environment.spaces)
    weights = torch.zeros(2, ParamVector(policy.net).dim)
    weights[0, -1], weights[1, -2] = 1, 1  # biases
    return TensorRollout(environment, policy), weights


@pytest.mark.parametrize("env", [Walk, Walk(), Image])
def test_an_environment_of_ones_own(env: Any) -> None:
    rollout, candidates = of(env)
    with rollout:
        outcome = rollout.play(candidates, list(range(40)))
    assert outcome.lengths[0].max() <= 11
    assert (outcome.lengths[1] == 100).all()
    np.testing.assert_array_equal(outcome.returns, outcome.lengths)


def test_what_is_not_finite_fails_its_episode_alone() -> None:
    rollout, candidates = of(Walk, env_args={"breaks_at": 9.5})
    candidates = torch.cat([candidates, torch.full_like(candidates[:1], torch.nan)])
    outcome = rollout.play(candidates, [1, 2, 3])
    assert np.isnan(outcome.returns[[0, 2]]).all()
    assert (outcome.returns[1] == 100).all()
    assert len(outcome.failures) == 6
    assert "state or sum of rewards is not finite" in str(outcome.failures[0])
    assert "output of the network is not finite" in str(outcome.failures[-1])


def test_slots_and_time_limit_and_order_do_not_matter() -> None:
    rollout, _ = of("CartPole-v1", max_episode_steps=77)
    policy = MLPPolicy(*rollout.environment.spaces, hidden=(8,))
    candidates = torch.randn(50, ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    outcomes = []
    for slots in (32, 96, 4096):
        with TensorRollout(rollout.environment, policy, slots=slots) as one:
            outcomes.append(one.play(candidates, [4, 5, 6]))
            backwards = one.play(candidates.flip(0), [6, 5, 4])
        np.testing.assert_array_equal(outcomes[-1].returns, outcomes[0].returns)
        np.testing.assert_array_equal(backwards.returns[::-1, ::-1], outcomes[0].returns)
    assert outcomes[0].lengths.max() == 77


class Span(Walk):
    """Takes from 10 to 160 steps."""

    time_limit = 500

    def initial(self, rng: np.random.Generator) -> Any:
        return np.array([rng.uniform(-150, 0)])


def test_slots_are_at_work_while_there_is_work() -> None:
    """Lengths spread over more than 10x, 32 episodes a slot."""
    environment = make_environment(Span)
    _, candidates = of(Span)
    with TensorRollout(environment, LinearPolicy(*environment.spaces), slots=64) as rollout:
        outcome = rollout.play(candidates[:1], list(range(32 * 64)))
    assert outcome.lengths.max() > 10 * outcome.lengths.min()
    assert outcome.slot_utilisation >= 0.95


def test_both_backends_train_the_same_bits() -> None:
    results = [
        tp.train("CartPole-v1", "cem", seed=2, generations=8, eval_episodes=10, backend=backend)
        for backend in ("native", "gymnasium", "auto")
    ]
    weights = [ParamVector(result.policy.net).read() for result in results]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    returns = [result.evaluation.returns.tolist() for result in results]
    assert returns[0] == returns[1] == returns[2]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_own_one_trains_and_resumes(workers: int) -> None:
    whole = tp.train(Walk, "snes", generations=4, eval_episodes=3, seed=1)
    tp.train(Walk, "snes", generations=2, eval_episodes=3, seed=1, run_dir="part", workers=workers)
    part = tp.resume("part", env=Walk, generations=4)
    assert torch.equal(ParamVector(part.policy.net).read(), ParamVector(whole.policy.net).read())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "LunarLander-v3", "backend": "native"}, "there is no native LunarLander-v3; there are Acrobot-v1"),
        ({"env": "LunarLander-v3", "backend": "tensor"}, "backend must be one of auto, gymnasium, native"),
        ({"env": Walk, "backend": "gymnasium"}, "is an environment on tensors, which Gymnasium does not have"),
        ({"env": Walk(), "env_args": {"breaks_at": 1}}, "env_args go with a class or a name"),
        ({"env": Walk, "env_args": {"breaks": 1}}, "making Walk failed"),
    ],
)
def test_mistakes_are_said(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_environment(**arguments)


def test_compiling_is_for_tensors_and_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="compile=True is for environments on tensors, which FrozenLake-v1 is not"):
        tp.train("FrozenLake-v1", "cem", compile=True)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match="needs a C"):
        tp.train("CartPole-v1", "cem", compile=True)


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("hidden", [(), (32,)])
def test_compiled_it_is_nearly_the_same(hidden: tuple[int, ...]) -> None:
    """One loop for a narrow network; batched products in the graph for a wide one."""
    environment = make_environment("CartPole-v1", max_episode_steps=20)
    policy: Policy = MLPPolicy(*environment.spaces, hidden=hidden) if hidden else LinearPolicy(*environment.spaces)
    candidates = torch.randn(100, ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
    with TensorRollout(environment, policy, slots=64, compile=True) as compiled:
        fast, again = (compiled.play(candidates, [1, 2]) for _ in range(2))
        assert compiled.compile_seconds > 0
    with TensorRollout(environment, policy) as eager:
        slow = eager.play(candidates, [1, 2])
    np.testing.assert_array_equal(fast.returns, again.returns)
    assert (fast.lengths == slow.lengths).mean() > 0.98


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_training_is_exact_over_processes_and_resume(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"seed": 3, "compile": True, "population": 50, "target": None, "eval_episodes": 10}
    whole = tp.train("CartPole-v1", "cem", generations=6, run_dir=tmp_path / "whole", **settings)
    half = tp.train("CartPole-v1", "cem", generations=3, run_dir=tmp_path / "half", workers=2, **settings)
    resumed = tp.resume(half.run_dir, generations=6)
    vectors = [ParamVector(result.policy.net).read() for result in (whole, resumed)]
    assert torch.equal(*vectors)
    assert "compiled in" in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_loop_that_is_compiled_counts_as_such() -> None:
    """Watched for a normaliser, and not."""
    environment = make_environment("CartPole-v1", max_episode_steps=20)
    policy = LinearPolicy(*environment.spaces)
    policy.normalize()
    candidates = torch.zeros(32, ParamVector(policy.net).dim)
    with TensorRollout(environment, policy, slots=32, compile=True) as rollout:
        seconds = []
        for observe in (True, True, False, False):
            rollout.play(candidates, [1], observe=observe)
            seconds.append(rollout.compile_seconds)
    assert 0 < seconds[0] == seconds[1] < seconds[2] == seconds[3]


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_not_finite_is_found_in_a_compiled_loop() -> None:
    environment = make_environment("CartPole-v1", max_episode_steps=20)
    policy = LinearPolicy(*environment.spaces)
    candidates = torch.zeros(32, ParamVector(policy.net).dim)
    candidates[3], candidates[5, 0], candidates[7] = torch.nan, torch.inf, 1e30
    with TensorRollout(environment, policy, slots=32, compile=True) as rollout:
        outcome = rollout.play(candidates, [1])
    assert np.flatnonzero(np.isnan(outcome.returns[:, 0])).tolist() == [3, 5]
    assert {failure.reason for failure in outcome.failures} == {"output of the network is not finite"}


def test_an_end_of_its_own_at_the_time_limit_is_no_truncation() -> None:
    for limit in (10, 20):
        played = []
        for backend in ("native", "gymnasium"):
            environment = make_environment("CartPole-v1", None, limit, backend)
            policy = tp.LinearPolicy(*environment.spaces, seed=0)
            vectors = torch.randn(40, 10, generator=torch.Generator().manual_seed(0))
            with make_rollout(environment, policy) as rollout:
                played.append(rollout.play(vectors, list(range(4))))
        np.testing.assert_array_equal(played[0].truncated, played[1].truncated)
        np.testing.assert_array_equal(played[0].lengths, played[1].lengths)
        assert 0 < played[0].truncated.mean() < 1
        assert (played[0].truncated != (played[0].lengths == limit)).any() == (limit == 10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_was_compiled_goes_with_its_rollout() -> None:
    environment = make_environment("CartPole-v1")
    policy = LinearPolicy(*environment.spaces)
    stepper = Stepper(TensorCartPole(), policy, ParamVector(policy.net), 32, 500, compile=True)
    stepper.function(watched=False, sampled=False)
    gone = weakref.ref(stepper)
    del stepper
    gc.collect()
    assert gone() is None


COMPILE_ONCE = """
import torch
from torch._dynamo.utils import counters

from torchpolicy import LinearPolicy, ParamVector
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.tensor import TensorRollout

environment = make_environment("CartPole-v1")
policy = LinearPolicy(*environment.spaces)
with TensorRollout(environment, policy, slots=32, compile=True) as rollout:
    rollout.play(torch.zeros(3, ParamVector(policy.net).dim), [1])
print("found" if counters["aot_autograd"]["autograd_cache_hit"] else "new")
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
def test_what_one_process_compiled_the_next_one_finds(tmp_path: Path) -> None:
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE_ONCE]
    runs = [subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(2)]
    assert [run.stdout for run in runs] == ["new\n", "found\n"]


class Holes(torch.nn.Linear):
    """A network whose outputs are infinite where the pole is nearly upright, and the action is still a number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[..., 2:3].abs() < 0.002, torch.inf, super().forward(x))


class Log(torch.nn.Linear):
    """A network whose outputs are not finite where the pole has fallen, and the episode is over."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + (0.2095 - x[..., 2:3].abs()).clamp(min=0).log() / 1000


@pytest.mark.parametrize(("net", "some"), [(Holes, True), (Log, False)])
def test_an_output_fails_the_same_episodes_as_with_gymnasium(net: type[torch.nn.Linear], some: bool) -> None:
    torch.manual_seed(0)
    played = net(4, 2)
    failed = []
    for backend in ("gymnasium", "native"):
        environment = make_environment("CartPole-v1", backend=backend)
        policy = tp.Policy(played, *environment.spaces)
        with make_rollout(environment, policy) as rollout:
            outcome = rollout.play(tp.ParamVector(policy.net).read()[None], list(range(40)))
        failed.append([failure.episode for failure in outcome.failures])
    assert failed[0] == failed[1]
    assert bool(failed[0]) == some
