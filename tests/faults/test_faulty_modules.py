"""Modules that misbehave: each ends in the same bits, or in one clear line (page reliability, "Modules")."""

import itertools
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import misbehaving_modules as odd
import numpy as np
import pytest
import torch
from misbehaving_environments import ERRORS
from misbehaving_environments import Plain as Env
from misbehaving_modules import NOISE, OWN_NOISE, adding, having, linear, raises, remembering
from torch import nn

import torchpolicy as tp
from torchpolicy.base.checkpoints import load_checkpoint
from torchpolicy.base.memory import machine_memory
from torchpolicy.cli import main
from torchpolicy.rollout.probe import check_policy


class Case(NamedTuple):
    """What makes a module, what the page says of it, and what is said when it is met."""

    row: str
    make: Any
    says: str = ""


STATE = "keeps state between calls: forward changes "
AGAIN = "another output for the same"
FIT = "does not take a batch"
NOT_MANY = "cannot be evaluated for many weights at once (torch.func.vmap): "

TUPLE = "it is a cell of torch's alone, or returns a tuple and has no `initial_state()`"
STATES = "its state changes its shape, dtype or structure, is not finite, or depends on weights"

REFUSED = [
    Case("it counts its calls", remembering(odd.count, calls=lambda: 0), STATE + "'calls'"),
    Case("it counts its calls", odd.CountsAll, STATE + "'CountsAll.calls'"),
    Case("it counts its calls", remembering(odd.count_inside, inner=odd.counter), STATE + "'inner'"),
    Case("it counts its calls", remembering(lambda s, x: next(s.calls), calls=itertools.count), STATE + "'calls'"),
    Case("it counts its calls where nobody looks, and adds that", odd.Outer, AGAIN),
    Case("a list or cache of it grows", remembering(lambda s, x: s.seen.append(x), seen=list), STATE + "'seen'"),
    Case("a list or cache of it grows", remembering(odd.cache_by_value, cache=dict), STATE + "'cache'"),
    Case("it keeps a mean in a plain tensor or array", remembering(odd.average, mean=lambda: torch.zeros(())), STATE),
    Case("it keeps a mean in a plain tensor or array", remembering(odd.count_array, seen=lambda: np.zeros(1)), STATE),
    Case("it writes its buffer", odd.Writes, "writes its buffer 'seen' in forward"),
    Case("it keeps the state of a `GRUCell`", lambda: odd.Remembers(by_size=False), STATE + "'state'"),
    Case("it keeps the state of a `GRUCell`", lambda: odd.Remembers(by_size=True), STATE + "'state'"),
    *(
        Case("it draws from a global generator", adding(noise), f"sets, {whose} global")
        for whose, noise in NOISE.items()
    ),
    Case("it draws from a global generator", remembering(lambda s, x: np.random.rand()), "sets, NumPy's global"),
    *(Case("it draws from a generator of its own", make, STATE + "'own'") for make in OWN_NOISE.values()),
    Case("its dropout is always on", having(odd.left_on), "sets, torch's global random generator in forward"),
    Case("a hook of it draws", lambda: odd.hooked(lambda: torch.rand(())), "sets, torch's global"),
    Case("it reads a clock", adding(odd.clock), AGAIN),
    Case("it switches to training mode", remembering(odd.to_training), "switches to training mode in forward"),
    Case("it changes its own weights", remembering(odd.shrink), "changes its own weights in forward"),
    Case("it changes its input in place", having(odd.in_place), "changes its input in place"),
    Case("its output depends on the rest of the batch", having(lambda s, x: s.layer(x - x.mean(0))), "in a batch of 3"),
    Case("its output depends on the rest of the batch", having(odd.scales_by_size), "in a batch of 3"),
    Case("it looks at numbers (`.item()`, `if x > 0`)", having(odd.looks), NOT_MANY),
    Case("it has lazy layers", odd.Lazy, "has lazy layers, whose weights would come from torch's global generator"),
    Case("its output has another shape, or is no tensor", having(lambda s, x: s.layer(x)[:, :2]), "got (1, 2)"),
    Case("its output has another shape, or is no tensor", having(lambda s, x: None), "got ()"),
    Case(
        TUPLE,
        having(lambda s, x: (s.layer(x), x)),
        "returns a tuple: a module that remembers has a method initial_state",
    ),
    Case(TUPLE, lambda: nn.GRUCell(3, 4), "GRUCell would forget at every step"),
    Case(STATES, lambda: odd.Stateful(lambda seen: seen[:, :2]), "turns a state of shape (1, 3)"),
    Case(STATES, lambda: odd.Stateful(lambda seen: (seen, seen)), "returns a state of another structure"),
    Case(STATES, lambda: odd.Stateful(lambda seen: seen / 0), "into a state that is not finite"),
    Case("its output is NaN", having(lambda s, x: s.layer(x) * torch.nan), "an output that is not finite"),
    Case("it takes another observation", lambda: linear(5), "does not take a batch of observations of shape (3,)"),
    Case("it is of half precision", lambda: linear().half(), "float32 and float64 networks are supported"),
    Case("nothing of it is trainable", lambda: linear().requires_grad_(False), "no trainable"),
    Case("it saves what is no tensor", odd.Saves, "keeps net._extra_state, which is no tensor and cannot be saved"),
    *(Case("its forward raises", having(raises(make)), f"{FIT}.*{says}") for says, make in ERRORS.items()),
    *(Case("its factory raises", lambda make=make: raises(make)(), says) for says, make in ERRORS.items()),
    Case("its factory makes no module", lambda: 7, "should return a Policy or a module, got int"),
    Case("it needs more memory than there is", lambda: nn.Linear(3, 10**13), "not enough memory: 111,758.7 GiB more"),
]
"""Before training: one line and exit code 2."""

SAME = [
    Case("nothing is wrong with it", odd.Plain),
    Case("it builds a cache in its first call", having(odd.cached, scale=lambda: None)),
    Case("it builds a cache for each size of a batch", having(odd.cached_by_size, scales=dict)),
    Case("it keeps what it computed last, and does not use it", having(odd.keeps_last)),
    Case("it has a recurrent cell that begins afresh", odd.Recurs),
    Case("it remembers by `initial_state()` and `forward(inputs, state)`", lambda: odd.Stateful(lambda seen: seen / 2)),
    Case("it has dropout or batch normalisation", lambda: nn.Sequential(linear(3, 3), nn.Dropout(), linear())),
    Case("it has dropout or batch normalisation", lambda: nn.Sequential(nn.BatchNorm1d(3), linear())),
    Case("it has tied or frozen weights", odd.Tied),
    Case("it has tied or frozen weights", odd.frozen),
    Case("it is of float64", lambda: linear().double()),
    Case("it has a parametrisation or a hook", odd.normed),
    Case("it has a parametrisation or a hook", lambda: odd.hooked(lambda: 1.0)),
]
"""The same bits with one process and with two."""

LATE = [
    Case("it raises in the middle of training", raises(make), f"the network, Misbehaving, failed: {says}")
    for says, make in ERRORS.items()
]

ROWS = {case.row for cases in (REFUSED, SAME, LATE) for case in cases} | {
    "memory runs out in the middle of training",
    "the run would take more memory than the machine has",
}

pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


def by_row(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: f"{case.row} {case.says}"[:90])


def train(make: Any, **settings: Any) -> tp.Result:
    given = {"population": 6, "generations": 2, "eval_episodes": 2, "target": None, "run_dir": "run"}
    return tp.train(Env, "cem", policy=lambda *_: make(), **given | settings)


@by_row(REFUSED)
def test_what_is_no_pure_function_or_does_not_work_is_refused_in_a_line(case: Case) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        train(case.make)
    for part in case.says.split(".*"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


@by_row(SAME)
def test_what_is_odd_but_pure_ends_in_the_same_bits(case: Case) -> None:
    one, two = (train(case.make, workers=workers, run_dir=f"run-{workers}") for workers in (1, 2))
    assert torch.equal(tp.ParamVector(one.policy.net).read(), tp.ParamVector(two.policy.net).read())
    for first, second in zip(one.metrics, two.metrics, strict=True):
        assert all(first[key] == second[key] for key in first if not key.startswith("time/"))
    assert not one.metrics[0]["search/failed"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@by_row(LATE)
def test_what_raises_in_the_middle_of_training_is_named_after_a_checkpoint(case: Case, workers: int) -> None:
    module = odd.late(case.make, after=60)
    with pytest.raises(tp.RunError) as caught:
        train(module, generations=100, workers=workers)
    assert re.match(r"generation \d+, Plain: " + re.escape(case.says), str(caught.value))
    assert "\n" not in str(caught.value)
    state, _ = load_checkpoint(Path("run/checkpoints"))
    assert state is not None
    assert state["generation"] == int(str(caught.value).split()[1][:-1]) - 1 or workers == 2


@pytest.mark.parametrize("learner", ["reinforce", "deepcem"])
def test_a_module_that_raises_while_a_learner_learns_is_named(learner: str) -> None:
    module = odd.late(raises(lambda: SystemExit(0)), after=60)
    with pytest.raises(tp.RunError, match=r"^generation \d+, Plain: .*SystemExit: 0"):
        tp.train(Env, learner, policy=lambda *_: module(), generations=50, eval_episodes=2, target=None)


def test_memory_that_runs_out_in_training_is_told_with_what_was_needed() -> None:
    module = odd.late(lambda: torch.empty(10**14), after=60)
    with pytest.raises(tp.RunError, match=r"^not enough memory: 372,529.0 GiB more were needed: take a smaller popul"):
        train(module, generations=100)
    assert load_checkpoint(Path("run/checkpoints"))[0] is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_would_take_more_memory_than_there_is_is_refused(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {1: "0.0", 2: r"0.0 GiB of memory in 2 processes"}[workers]
    monkeypatch.setattr("torchpolicy.base.memory.machine_memory", lambda: 4000 if workers == 2 else 1000)
    with pytest.raises(ValueError, match=rf"this would take about {needed}.*, and this machine has 0.0 GiB"):
        train(odd.Plain, workers=workers)
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=r"this would take about [\d,]+\.\d GiB of memory, and this machine has [\d,]+"
    ):
        tp.train(Env, "cem", population=2**31 - 1)
    assert not Path("run").exists()


def test_matrices_of_a_search_count_as_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,282 weights: vectors take less than a MiB, a covariance 13."""
    monkeypatch.setattr("torchpolicy.base.memory.machine_memory", lambda: 50 * 2**20)
    common: dict[str, Any] = {"policy_args": {"hidden": (32, 32)}, "generations": 1, "eval_episodes": 2}
    tp.train("CartPole-v1", "sepcma", **common)
    for name in ("cmaes", "xnes"):
        with pytest.raises(
            ValueError, match=r"this would take about 0\.\d GiB of memory, and this machine has 0\.0 GiB"
        ):
            tp.train("CartPole-v1", name, **common)


def test_a_module_too_large_for_the_machine_is_refused_before_it_is_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchpolicy.base.memory.machine_memory", lambda: 1000)
    monkeypatch.setattr(
        "torchpolicy.runs.job.check_policy", lambda *_: pytest.fail("which takes a copy of all weights")
    )
    with pytest.raises(ValueError, match=r"this would take about 0\.0 GiB of memory, and this machine has 0\.0 GiB"):
        train(odd.Plain)


def test_the_machines_memory_is_that_of_its_container(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/mine/inner\n")
    nothing = machine_memory(tmp_path / "none", own)
    assert nothing > 2**28
    (tmp_path / "v2" / "mine" / "inner").mkdir(parents=True)
    (tmp_path / "v2" / "mine" / "inner" / "memory.max").write_text("max\n")
    (tmp_path / "v2" / "mine" / "memory.max").write_text("123456\n")
    assert machine_memory(tmp_path / "v2", own) == 123456
    own.write_text("4:memory:/a\n3:cpu:/b\n")
    (tmp_path / "v1" / "memory" / "a").mkdir(parents=True)
    (tmp_path / "v1" / "memory" / "a" / "memory.limit_in_bytes").write_text("7777\n")
    assert machine_memory(tmp_path / "v1", own) == 7777


def test_a_callback_that_calls_exit_is_named() -> None:
    class Leaves(tp.callbacks.Callback):
        def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
            raise SystemExit(0)

    with pytest.raises(tp.RunError, match=r"the callback Leaves failed in on_generation_end: SystemExit: 0"):
        train(odd.Plain, callbacks=[Leaves()])


def test_the_command_line_ends_with_2_whatever_a_module_raises(capsys: pytest.CaptureFixture[str]) -> None:
    Path("leaving_net.py").write_text("import sys\n\n\ndef make(observations, actions):\n    sys.exit(0)\n")
    assert main(["train", "cem", "--env", "CartPole-v1", "--policy", "leaving_net:make"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "making the policy leaving_net:make failed: SystemExit: 0 (sys.exit was called)" in line


def test_looking_at_a_small_module_takes_no_time() -> None:
    policy = tp.Policy(nn.Sequential(odd.Plain(), nn.Tanh()), Env.observation_space, Env.action_space)
    first = np.zeros(3, np.float32)
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        check_policy(policy, first)
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.02


def test_the_page_names_every_case() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page.partition("## Modules")[2].partition("\n## ")[0]
    ends = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE))
    assert ends.keys() - {"module"} == ROWS
    for end, cases in {"refused": REFUSED, "the same bits": SAME, "the run stops": LATE}.items():
        assert all(ends[case.row].startswith(end) for case in cases)
    assert sum(map(len, (REFUSED, SAME, LATE))) >= 40
