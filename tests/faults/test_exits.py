"""Code of the user's own ends no process, wherever it is called: exit code 0 means trained, scored and saved."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from misbehaving_environments import OwnError, Plain
from torch import nn

import torchpolicy as tp
from torchpolicy.cli import main

METHODS = (
    *("state_dict", "_load_from_state_dict", "named_parameters", "parameters", "train", "_apply"),
    *("get_extra_state", "set_extra_state", "forward"),
)
"""Methods of a module that somebody may override, and that are called somewhere between loading and saving."""

SHORT: dict[str, Any] = {"generations": 2, "eval_episodes": 2, "target": None, "run_dir": "run"}

QUICK = SHORT | {"population": 4}

NET = """
import sys
from torch import nn, zeros

class Net(nn.Linear):
    method = ""

    def get_extra_state(self):
        return zeros(1)

    def set_extra_state(self, state):
        pass

def leave(*_, **__):
    sys.exit(0)

def make(observations, actions):
    return Net(3, 4)
"""


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that behaves, and of others in which one method calls sys.exit."""
    lines = [f"class In_{name}(Net): {name} = leave\ndef {name}(o, a): return In_{name}(3, 4)\n" for name in METHODS]
    Path("exits_net.py").write_text(NET + "".join(lines))
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "exits_net", raising=False)
    return "exits_net"


WORDS = [
    *("--env", "misbehaving_environments:Plain", "--target", "none"),
    *("--generations", "2", "--population", "4", "--eval-episodes", "2"),
]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("method", METHODS)
def test_a_module_that_calls_exit_somewhere_ends_no_training_with_success(
    method: str, workers: str, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "cem", *WORDS, "--policy", f"{net}:{method}", "--workers", workers]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("torchpolicy: ")]
    assert "failed: SystemExit: 0 (sys.exit was called)" in line or method == "forward"
    assert "SystemExit" in line


@pytest.mark.parametrize("command", ["eval run --episodes 2", "resume run --generations 3", "export run", "record run"])
def test_a_module_that_calls_exit_somewhere_ends_no_other_command_with_success(
    command: str, net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "cem", *WORDS, "--policy", f"{net}:make", "--run-dir", "run"]) == 0
    env = [] if command.startswith("export") else ["--env", "misbehaving_environments:Plain"]
    for method in METHODS:
        if method != "_apply":  # which only a device asks for
            capsys.readouterr()
            assert main([*command.split(), *env, "--policy", f"{net}:{method}"]) == 2, method
            assert "SystemExit: 0 (sys.exit was called)" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("error", [SystemExit(0), SystemExit(3), OwnError("boom"), GeneratorExit()])
@pytest.mark.parametrize("name", ["spec", "metadata", "unwrapped"])
def test_an_attribute_of_an_environment_may_raise(name: str, error: BaseException) -> None:
    def fail(self: Any) -> Any:
        raise error

    env = type("Misbehaving", (Plain,), {name: property(fail)})
    try:
        tp.train(env, "cem", **QUICK)
    except ValueError as raised:
        assert type(error).__name__ in str(raised)  # noqa: PT017
    else:
        assert name != "spec"  # which is looked at


HOOKS = [name for name in vars(tp.callbacks.Callback) if name.startswith("on_")] + ["state_dict", "load_state_dict"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_callback_that_calls_exit_in_any_hook_is_named(hook: str, workers: int) -> None:
    def leave(*_: Any) -> Any:
        raise SystemExit(0)

    class Late(tp.callbacks.Callback):
        def state_dict(self) -> Any:
            return {"some": 1}

        def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
            if hook == "on_exception":
                raise ValueError("the first")

    leaves = type("Leaves", (Late,), {hook: leave})
    settings = QUICK | {"generations": 10}
    if hook == "load_state_dict":
        tp.train(Plain, "cem", callbacks=[type("Leaves", (Late,), {})()], **QUICK)
    says = "ValueError: the first" if hook == "on_exception" else f"failed in {hook}: SystemExit: 0"
    with pytest.raises(tp.RunError, match=f"the callback Leaves .*{says}"):
        tp.train(Plain, "cem", callbacks=[leaves()], workers=workers, **settings)


class OnTensors(tp.TensorEnv):
    """An environment on tensors that calls sys.exit in one of its methods."""

    observation_space = Box(-1, 1, (1,), np.float32)
    action_space = Discrete(2)
    time_limit = 5

    def initial(self, rng: np.random.Generator) -> Any:
        return np.zeros(1)

    def transition(self, state: Any, action: Any) -> Any:
        return state

    def observation(self, state: Any) -> Any:
        return state

    def reward(self, state: Any, action: Any, next_state: Any) -> Any:
        return action * 1.0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["initial", "transition", "observation", "reward", "terminal", "__init__"])
def test_an_environment_on_tensors_that_calls_exit_is_named(method: str, workers: int) -> None:
    def leave(*_: Any) -> Any:
        raise SystemExit(0)

    with pytest.raises((tp.RunError, ValueError), match=r"SystemExit: 0 \(sys.exit was called\)") as caught:
        tp.train(type("Leaves", (OnTensors,), {method: leave}), "cem", workers=workers, **QUICK)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["ask", "_update", "state_dict"])
def test_a_search_of_ones_own_that_calls_exit_is_named(method: str) -> None:
    def leave(*_: Any) -> Any:
        raise SystemExit(0)

    search: tp.Search = type("Leaves", (tp.CEM,), {method: leave})(torch.zeros(16), population=4)
    with pytest.raises((tp.RunError, ValueError), match=r"SystemExit: 0 \(sys.exit was called\)"):
        tp.train(Plain, search, policy=nn.Linear(3, 4), **SHORT)


def test_a_signal_still_ends_a_run_with_its_own_code() -> None:
    class Term(tp.callbacks.Callback):
        def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as stop:
        tp.train(Plain, "cem", callbacks=[Term()], **QUICK)
    assert stop.value.code == 128 + signal.SIGTERM
