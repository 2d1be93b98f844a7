"""Environments that misbehave: each ends in the same bits, or in one clear line (page reliability, "Environments")."""

import multiprocessing
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import gymnasium
import misbehaving_environments as odd
import numpy as np
import pytest
import torch
from gymnasium.spaces import Text
from misbehaving_environments import ERRORS, Plain, Steered, answering, raising, raising_sometimes, rewarding, showing

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.envs.make import make_environment
from torchpolicy.envs.probe import check_environment

Make = Callable[..., Any]


class Case(NamedTuple):
    """An environment, what the page says of it, and what is said when it is met."""

    row: str
    env: Any
    says: str = ""
    settings: Any = MappingProxyType({})


def returning(answer: Any, **settings: Any) -> type[Plain]:
    return answering(lambda *_: answer, **settings)


def short(env: Any, answer: Any, action: Any) -> Any:
    return answer[:4]


def long(env: Any, answer: Any, action: Any) -> Any:
    return *answer, 6


def early(self: Any) -> None:
    raise MemoryError


ONLY = Plain()
SHOWS = "observation has shape"
WRONG = "expected (observation, reward, terminated, truncated, info)"

REFUSED = [
    *(Case("its constructor raises", raising("__init__", make), says) for says, make in ERRORS.items()),
    *(Case("its `reset` raises", raising("reset", make), says) for says, make in ERRORS.items()),
    *(Case("its first steps raise", raising("step", make), f"step raised {says}") for says, make in ERRORS.items()),
    Case("its constructor asks for more memory than there is", type("Large", (Plain,), {"__init__": early}), "memory"),
    Case("its callable returns no environment", dict, "should return a gymnasium.Env, got dict"),
    Case("its callable returns the same environment twice", lambda: ONLY, "returned the same one twice"),
    Case("it has no spaces", odd.NoSpaces, "should have an observation_space and an action_space"),
    Case("its spaces cannot be read", odd.HidesItsSpaces, "its spaces cannot be read: RuntimeError: not yet known"),
    Case("its spaces are others each time", odd.OtherSpaces, "should have the same spaces each time it is made"),
    Case("its spaces are not supported", type("W", (Plain,), {"observation_space": Text(5)}), "observation space Text"),
    Case("its `reset` takes no seed", odd.NoSeed, "reset(seed=0) failed: TypeError"),
    Case(
        "its `reset` returns no (observation, info)", odd.starting(lambda env, a: a[0]), "expected (observation, info)"
    ),
    Case("its `reset` returns no (observation, info)", odd.starting(lambda env, a: (*a, 3)), "expected (observation"),
    Case("its `reset` returns no (observation, info)", odd.starting(lambda env, a: None), "got NoneType"),
    Case("its `reset` shows another shape", odd.starting(lambda env, a: (a[0][:2], {})), f"{SHOWS} (2,)"),
    Case("its `reset` shows NaN", odd.starting(lambda env, a: (a[0] * np.nan, {})), "observation that is not finite"),
    Case("its steps return 4 values, as in the old Gym", answering(short), f"step returned 4 values, {WRONG}"),
    Case("its steps return 6 values, or none", answering(long), f"step returned 6 values, {WRONG}"),
    Case("its steps return 6 values, or none", returning(None), f"step returned None, {WRONG}"),
    Case("its steps return 6 values, or none", returning(3.5), f"step returned 3.5, {WRONG}"),
    Case(
        "its steps return 4 values, as in the old Gym",
        lambda: gymnasium.wrappers.TransformReward(answering(short)(), float),
        f"step returned the wrong number of values, {WRONG}",
    ),
    Case("its rewards are None, texts or several numbers", rewarding(None), "reward is None, expected a number"),
    Case("its rewards are None, texts or several numbers", rewarding("1.5"), "reward is '1.5', expected a number"),
    Case(
        "its rewards are None, texts or several numbers", rewarding(np.ones(2)), "reward is array([1., 1.]), expected"
    ),
    Case("its rewards are None, texts or several numbers", rewarding(1j), "reward is 1j, expected a number"),
    Case("its rewards are NaN or infinite", rewarding(np.nan), "reward is not finite: nan"),
    Case("its rewards are NaN or infinite", rewarding(-np.inf), "reward is not finite: -inf"),
    Case("its steps show another shape, or no numbers", showing(lambda o: o[:2]), f"{SHOWS} (2,)"),
    Case("its steps show another shape, or no numbers", showing(lambda o: None), f"{SHOWS} () of object"),
    Case("its steps show another shape, or no numbers", showing(lambda o: "seen"), f"{SHOWS} () of <U4"),
    Case("its steps show another shape, or no numbers", showing(lambda o: {"a": o}), f"{SHOWS} () of object"),
    Case("its steps show NaN or infinity", showing(lambda o: o * np.nan), "observation is not finite"),
    Case("its steps show NaN or infinity", showing(lambda o: np.full(3, np.inf)), "observation is not finite"),
    Case(
        "`terminated` or `truncated` is an array of several",
        odd.ending(lambda t: np.array([t, t]), bool),
        "step returned terminated as array([False, False])",
    ),
    Case(
        "`terminated` or `truncated` is an array of several",
        odd.ending(bool, lambda t: np.array([t, t])),
        "step returned truncated as array([False, False])",
    ),
]
"""Before training: one line and exit code 2."""

FAILED = [
    *(Case("a step raises", raising_sometimes(make), f"step raised {says}") for says, make in ERRORS.items()),
    Case("some resets raise", odd.FailsInSomeResets, "reset raised ValueError: boom"),
    Case("a step returns too few values, too many or none", answering(short, sometimes=True), "returned 4 values"),
    Case("a step returns too few values, too many or none", returning(None, sometimes=True), "step returned None"),
    Case("a reward is None or a text", rewarding(None, sometimes=True), "reward is None, expected a number"),
    Case("a reward is None or a text", rewarding("high", sometimes=True), "reward is 'high', expected a number"),
    Case("a reward is NaN or infinite", rewarding(np.nan, sometimes=True), "sum of rewards is not finite: nan"),
    Case("a reward is NaN or infinite", rewarding(np.inf, sometimes=True), "sum of rewards is not finite: inf"),
    Case("an observation has another shape", showing(lambda o: o[:2], sometimes=True), f"{SHOWS} (2,)"),
    Case("an observation is NaN", showing(lambda o: o * np.nan, sometimes=True), "observation is not finite"),
    Case(
        "an observation is too large for the policy's numbers",
        showing(lambda o: o.astype(np.float64) + 1e300, sometimes=True),
        "observation is not finite",
    ),
    Case(
        "`terminated` is an array of several in a step",
        odd.ending(lambda t: np.array([t, t]), bool, sometimes=True),
        "step returned terminated as array([False, False])",
    ),
]
"""Now and then: the episode fails, is named and counted, and the others count."""

SAME = [
    Case("nothing is wrong with it", Plain),
    Case("its rewards are arrays of one number", rewarding(np.array([1.5], np.float32))),
    Case("its rewards are arrays of one number", rewarding(np.array([[2.0]]))),
    Case("its rewards are truth values, whole numbers or tensors", rewarding(True)),
    Case("its rewards are truth values, whole numbers or tensors", rewarding(3)),
    Case("its rewards are truth values, whole numbers or tensors", rewarding(torch.tensor(0.5))),
    Case("its rewards are as large as 1e15", rewarding(1e15)),
    Case(
        "`terminated` and `truncated` are arrays of one",
        odd.ending(lambda t: np.array([t]), lambda t: np.array([[t]])),
    ),
    Case("both `terminated` and `truncated` are true", odd.ending(bool, lambda t: True)),
    Case("every step is truncated", odd.ending(lambda t: False, lambda t: True)),
    Case("it never ends, and `max_episode_steps` is given", odd.Endless, "", {"max_episode_steps": 7}),
    Case("its steps return a list", answering(lambda env, answer, action: list(answer))),
    Case("its observations are lists, or of another kind of float", showing(lambda o: o.tolist())),
    Case("its observations are lists, or of another kind of float", showing(lambda o: o.astype(np.float64))),
    Case("its info is no dictionary", answering(lambda env, answer, action: (*answer[:4], None))),
    Case("its info is no dictionary", odd.starting(lambda env, answer: (answer[0], "nothing"))),
    Case("it shows the same array each time, with other numbers", odd.SameArray),
    Case("it writes into the action", answering(odd.scribbles, kind=Steered)),
    Case("it writes into its own spaces", odd.ChangesItsSpaces),
    Case("it prints", answering(odd.talks)),
    Case("it warns", answering(odd.warns)),
    Case("it leaves threads behind", odd.LeavesThreads),
    Case("it cannot be drawn", odd.NotRendered),
    Case("it raises as it is cleaned up", odd.FailsWhenDeleted),
]
"""The same bits twice, with one process and with two."""

TOLD = [
    Case("it counts episodes of all its objects", odd.CountsEpisodes, "the observation after reset differs"),
    *(
        Case("it draws from a global generator", odd.shifted(by), f"it moves {whose} global random generator")
        for whose, by in odd.ELSEWHERE.items()
    ),
    Case(
        "it draws from a global generator",
        odd.shifted(odd.ELSEWHERE["NumPy's"], where="reward"),
        "it moves NumPy's global random generator, and the reward of step 1 differs",
    ),
    Case("it seeds a global generator in `reset`", odd.SeedsGlobally, "it moves NumPy's global random generator"),
    Case("it ignores the seed", odd.IgnoresSeed, "the observation after reset differs in a second environment"),
    Case("it draws from the system, or an unseeded space", odd.shifted(odd.from_system), "after step 1 differs"),
    Case("it draws from the system, or an unseeded space", odd.shifted(odd.from_own_space), "differs"),
    Case("it reads a clock", odd.shifted(odd.from_clock), "the observation after step 1 differs"),
    Case(
        "something survives `reset`",
        odd.Survives,
        "the reward of step 1 differs in a used environment, beside another, with the same seed and actions",
    ),
    Case("its objects share what they show", odd.SharesBuffer, "the observation after step 1 differs"),
]
"""One line says which promise does not hold; `strict=True` refuses."""

CLOSES_BADLY = [Case("its `close` raises", raising("close", make), says) for says, make in ERRORS.items()]

ROWS = {case.row for cases in (REFUSED, FAILED, SAME, TOLD, CLOSES_BADLY) for case in cases} | {
    "most episodes fail, two generations running",
    "a worker's process ends by `os._exit(0)`",
    "there are not enough open files for its 32 copies",
    "an episode lasts 100,000 steps, and no time limit is known",
    "its name lacks the version (`CartPole`)",
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:that is old"),
    pytest.mark.filterwarnings("ignore:an environment did not close"),
]


def by_row(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: f"{case.row} {case.says}"[:90])


def train(env: Any, **settings: Any) -> tp.Result:
    given = {"population": 12, "generations": 1, "eval_episodes": 2, "target": None, "seed": 1, "std": 2.0}
    return tp.train(env, "cem", **given | settings)


def bits(result: tp.Result) -> tuple[bytes, list[str]]:
    rows = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in result.metrics]
    return tp.ParamVector(result.policy.net).read().numpy().tobytes(), [str(row) for row in rows]


@by_row(REFUSED)
def test_what_never_works_is_refused_in_a_line(case: Case) -> None:
    with pytest.raises((ValueError, tp.RunError)) as caught:
        train(case.env, **case.settings)
    assert case.says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


@by_row(FAILED)
def test_what_fails_now_and_then_is_counted_and_the_rest_goes_on(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (train(case.env, workers=workers, episodes=2) for workers in (1, 2))
    assert 0 < one.metrics[0]["search/failed"] < 12 or case.env is odd.FailsInSomeResets
    assert bits(one) == bits(two)
    line = next(line for line in capsys.readouterr().err.splitlines() if ": failed: " in line)
    assert re.match(r"generation 1, \w+: failed: candidate \d+, episode \d \(seed \d+\), step \d: ", line)
    assert case.says in line


@by_row(SAME)
def test_what_is_odd_but_pure_ends_in_the_same_bits(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (train(case.env, workers=workers, strict=True, **case.settings) for workers in (1, 2))
    assert bits(one) == bits(two)
    assert not one.metrics[0]["search/failed"]
    assert np.isfinite(one.evaluation.mean)
    assert "pure function" not in capsys.readouterr().err


@by_row(TOLD)
def test_what_is_no_pure_function_is_told_or_with_strict_refused(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="strict=True refuses that") as caught:
        train(case.env, strict=True)
    assert case.says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "results depend on the number of processes" in str(caught.value)
    train(case.env, population=2)
    assert capsys.readouterr().err.count("is no pure function of seed and actions") == 1


@by_row(CLOSES_BADLY)
def test_an_environment_that_does_not_close_ends_no_run(case: Case) -> None:
    with pytest.warns(UserWarning, match="an environment did not close") as caught:
        assert bits(train(case.env)) == bits(train(Plain))
    assert case.says in str(caught[0].message)
    assert len(caught) <= 6, "one for each that was looked at, and one for those that played"


def test_an_environment_that_does_not_close_hides_no_other_error() -> None:
    both = type("Both", (raising("close", lambda: ValueError("late")),), {"observation_space": Text(3)})
    with pytest.raises(ValueError, match="observation space Text"):
        train(both)


def test_most_episodes_that_fail_end_the_run_in_a_line() -> None:
    def fail(env: Any, answer: Any, action: Any) -> Any:
        if env._steps == 3:
            raise SystemExit(0)
        return answer

    with pytest.raises(tp.RunError) as caught:
        train(answering(fail), generations=5)
    assert re.fullmatch(
        r"12 of 12 candidates failed in Misbehaving, the second generation running \(generation 2\); the first: "
        r"candidate 0, episode 0 \(seed \d+\), step 3: step raised SystemExit: 0 \(sys.exit was called\)",
        str(caught.value),
    )


@pytest.mark.parametrize("code", [0, 3])
def test_a_worker_that_leaves_is_named(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(env: Any, answer: Any, action: Any) -> Any:
        if multiprocessing.current_process().name == "torchpolicy-1":
            os._exit(code)
        return answer

    monkeypatch.setattr("torchpolicy.runs.workers.RESTARTS", 0)
    with pytest.raises(tp.RunError, match=rf"^process 1 was lost \(exit code {code}"):
        train(answering(leave), workers=2)


def test_too_few_open_files_end_the_run_in_a_line() -> None:
    class Opens(Plain):
        opened = 0

        def __init__(self) -> None:
            Opens.opened += 1
            if Opens.opened > 8:
                raise OSError(24, "Too many open files")

    with pytest.raises(tp.RunError) as caught:
        train(Opens)
    assert re.fullmatch(
        r"generation 1, Opens: making the environment failed beside \d others: OSError: \[Errno 24\] Too many open "
        r"files \(a process may have [\d,]+: raise that with ulimit -n\)",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("name", "proposed"),
    [("CartPole", "CartPole-v1"), ("LunarLander", "LunarLander-v3"), ("CartPol", "CartPole-v1")],
)
def test_the_whole_name_is_proposed(name: str, proposed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cem", "--env", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert proposed in line


def test_the_command_line_ends_with_2_whatever_an_environment_raises(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text("import sys\n\n\ndef make():\n    sys.exit(0)\n")
    Path("ends.py").write_text("raise SystemExit(0)\n")
    for name, says in (
        ("mine:make", "making make failed: SystemExit: 0"),
        ("ends:x", "cannot import 'ends': SystemExit"),
    ):
        assert main(["train", "cem", "--env", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line


def test_the_option_strict_is_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--generations", "1", "--population", "4", "--eval-episodes", "2"]
    env = f"{odd.__name__}:IgnoresSeed"
    assert main(["train", "cem", "--env", env, *settings, "--strict"]) == 2
    assert "strict=True refuses that" in capsys.readouterr().err
    assert main(["train", "cem", "--env", env, *settings]) == 0


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "LunarLander-v3", "Hopper-v5"])
def test_environments_of_gymnasium_pass_without_a_word(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tp.train(name, "cem", backend="gymnasium", strict=True, generations=1, population=2, eval_episodes=2, preset=False)
    assert "pure function" not in capsys.readouterr().err


def test_looking_leaves_the_global_generators_alone() -> None:
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # type: ignore[index, union-attr]
    for by in odd.ELSEWHERE.values():
        assert check_environment(make_environment(odd.shifted(by)))
    assert states[0] == random.getstate()
    assert states[1] == np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert torch.equal(states[2], torch.get_rng_state())


def test_a_slow_environment_is_looked_at_for_a_second_at_most() -> None:
    class Slow(Plain):
        def step(self, action: Any) -> Any:
            time.sleep(0.05)
            answer = super().step(action)
            return *answer[:2], False, False, {}

    begin = time.monotonic()
    assert check_environment(make_environment(Slow)) is None
    assert time.monotonic() - begin < 1.2


def test_the_page_names_every_case() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page.partition("## Environments")[2].partition("\n## ")[0]
    ends = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE))
    assert ends.keys() - {"environment"} == ROWS
    lists = {"refused": REFUSED, "failed": FAILED, "the same bits": SAME, "told": TOLD, "a warning": CLOSES_BADLY}
    for end, cases in lists.items():
        assert all(ends[case.row].startswith(end) for case in cases)
    assert sum(map(len, (REFUSED, FAILED, SAME, TOLD, CLOSES_BADLY))) >= 85
