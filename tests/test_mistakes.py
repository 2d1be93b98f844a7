"""Mistakes are told in a line, before anything is made."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from worlds import Broken, Guess, Wordy

import torchpolicy as tp


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "CartPol-v1"}, "Did you mean: `CartPole`"),
        ({"algorithm": "cemm"}, "unknown algorithm 'cemm'; did you mean 'cem'"),
        ({"popsize": 5}, r"unknown argument 'popsize' for CEM.*its hyperparameters are population"),
        ({"popultion": 5}, "did you mean 'population'"),
        ({"elite_fraction": 0}, "elite_fraction must be a number in"),
        ({"population": 1}, "population must be an integer >= 2, got 1"),
        ({"std": 0}, "std must be positive and finite, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"seed": True}, "seed must be an integer >= 0, got True"),
        ({"env": Broken, "env_args": {"at_reset": True}}, "Broken: reset gave an observation that is not finite"),
        ({"env": Wordy}, "observation space Text.* is not supported"),
        ({"policy": nn.Linear(5, 2)}, r"Linear does not take .* observations of shape \(4,\)"),
        ({"policy": nn.Linear(4, 3)}, r"output of shape \(1, 2\) for Discrete\(2\), got \(1, 3\)"),
        ({"policy": "transformer"}, "unknown policy 'transformer'"),
        ({"policy": "mlp", "policy_args": {"widths": (3,)}}, "unknown argument 'widths' for policy 'mlp'"),
        ({"policy": 3}, "policy must be a Policy, a name or a callable"),
        ({"policy": nn.Linear(4, 2), "policy_args": {"hidden": ()}}, "policy_args go with a policy chosen by name"),
        ({"log_dir": "/dev/null/runs"}, "cannot make the run folder /dev/null"),
        ({"generations": 0}, "generations must be an integer >= 1, got 0"),
        ({"seconds": 0}, "seconds must be a number in"),
        ({"episodes": 0}, "episodes must be an integer >= 1, got 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be an integer >= 1, got 0"),
        ({"target": "high"}, "target must be 'auto', 'none' or a number, got 'high'"),
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds must be a number in"),
        ({"std_scale": 0.5, "std": 2.0}, "leave std out, or std_scale"),
        ({"std_scale": 0.0}, r"std_scale must be a number in \(0, inf\), got 0.0"),
        ({"device": "gpu"}, "device must be cpu, cuda or cuda:N, got 'gpu'"),
        ({"algorithm": tp.CEM(torch.zeros(3))}, "the search is over 3 numbers, the policy's net has 10"),
        ({"algorithm": tp.CEM(torch.zeros(10), maximize=False)}, "the search minimises"),
        ({"algorithm": tp.CEM(torch.zeros(10)), "std": 2.0}, "hyperparameters go with an algorithm chosen by name"),
    ],
)
def test_mistakes_are_said_in_a_line_and_leave_no_folder(arguments: dict[str, Any], message: str) -> None:
    env = arguments.pop("env", "CartPole-v1")
    algorithm = arguments.pop("algorithm", "cem")
    with pytest.raises(ValueError, match=message):
        tp.train(env, algorithm, **arguments)
    assert not Path("runs").exists()


class Counting(nn.Module):
    """Remembers how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class Branching(nn.Linear):
    """Decides by a value, which vmap cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > -1 else x


class Overriding(tp.LinearPolicy):
    """Does in the policy what belongs into the net."""

    def forward(self, observations: Tensor) -> Tensor:
        return -super().forward(observations)


def raising(observation_space: object, action_space: object) -> nn.Module:
    raise KeyError("width")


shared_env = Guess()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": Counting()}, "Counting writes its buffer 'calls' in forward"),
        ({"policy": Branching(3, 3)}, r"Branching cannot be evaluated for many weights at once \(torch.func.vmap\)"),
        ({"policy": nn.Linear(3, 3).half()}, "Linear is torch.float16: float32 and float64 networks are supported"),
        (
            {"policy": Overriding(Guess.observation_space, Guess.action_space)},
            "overrides forward.* put it into the net",
        ),
        ({"policy": raising}, "making the policy raising failed: KeyError: 'width'"),
        ({"env": lambda: shared_env}, "<lambda> should make a new environment at each call"),
        ({"algorithm": tp.CEM}, "algorithm must be a name, a search or a learner"),
        ({"algorithm": None}, "algorithm must be a name, a search or a learner, got None"),
        ({"target": 5, "eval_episodes": 1}, "eval_episodes must be at least 2 for a target"),
        ({"eval_every": 0}, "eval_every must be an integer >= 1, got 0"),
        ({"seconds": float("inf")}, "seconds must be a number in"),
        ({"target": True}, "target must be 'auto', 'none' or a number, got True"),
        ({"policy_args": {"hidden": "64"}}, "hidden must be a sequence of integers >= 1, got '64'"),
        ({"policy_args": {"hidden": (True,)}}, "hidden must be an integer >= 1, got True"),
        ({"env_args": "x"}, "env_args must be a dictionary, got 'x'"),
        ({"algorithm": "deepcem", "episodes": 50, "starts": 20}, "episodes must be a multiple of starts, 20, got 50"),
        ({"algorithm": "reinforce", "starts": 0}, "starts must be an integer >= 1, got 0"),
        ({"algorithm": "deepcem", "elite": "best"}, "elite must be .*advantages.*, got 'best'"),
        ({"std": "wide"}, "std must be a number or a vector"),
    ],
)
def test_more_mistakes_are_said_before_anything_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.train(arguments.pop("env", Guess), arguments.pop("algorithm", "cem"), **arguments)
    assert not Path("runs").exists()
