"""Vector environments that misbehave: each ends in one clear line (page reliability, "Vector environments")."""

import multiprocessing
import os
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from simulators import Lying
from worlds import Guess

import torchpolicy as tp

BOX = Box(-1, 1, (3,), np.float32)


class Case(NamedTuple):
    """A vector environment, what the page says of it, and what is said when it is met."""

    row: str
    env: Any
    says: str


class Parts(Guess):
    """As Guess, shown in two parts."""

    observation_space = Dict(numbers=BOX, time=Discrete(3))  # type: ignore[assignment]

    def reset(self, **settings: Any) -> Any:
        return {"numbers": super().reset(**settings)[0], "time": 0}, {}


def lying(step: Any = None, **settings: Any) -> partial[Lying]:
    return partial(Lying, step, **settings)


def late(change: Any) -> partial[Lying]:
    """Every 37th answer of a step is changed."""
    return lying(lambda count, *answer: change(*answer) if count % 37 == 36 else answer)


def nan_in_one(seen: Any, *others: Any) -> Any:
    seen[2, 1] = np.nan
    return seen, *others


def stop(*_: object) -> Any:
    raise SystemExit(0)


class Maskless(SyncVectorEnv[Any, Any]):
    """Resets all of its environments together only."""

    def reset(self, *, seed: Any = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class Leaves(Guess):
    """Ends its process after 60 steps."""

    count = 0

    def step(self, action: Any) -> Any:
        self.count += 1
        if self.count == 60 and multiprocessing.current_process().name.startswith("Worker"):
            os._exit(3)
        return super().step(action)


REFUSED = [
    Case("its observations are a Dict or a Tuple", lambda: SyncVectorEnv([Parts] * 3), "one array, not a Dict"),
    Case("its observations are ragged", lying(reset=lambda seen, i: ([seen[0], seen[1, :2]], i)), "an array or a ten"),
    Case("its observations are ragged", lying(lambda _, s, *o: ([s[0], [1]], *o)), "expected an array or a tensor"),
    Case(
        "it lacks the space of one observation or action",
        lying(single_observation_space=None),
        "should have a single_observation_space, the space of one sub-environment, got None",
    ),
    Case("it lacks the space of one observation or action", lying(single_action_space=3), "single_action_space, the"),
    Case("its spaces are not supported", lying(single_observation_space=Text(4)), "observation space Text"),
    Case("it does not say how many it is", lying(num_envs=None), "num_envs of partial must be an integer >= 1, "),
    Case("it does not say when it resets", lying(metadata={}), "metadata['autoreset_mode'] when it resets"),
    Case(
        "it does not say when it resets",
        lying(metadata={"autoreset_mode": "now"}),
        "AutoresetMode.SAME_STEP, AutoresetMode.DISABLED), got 'now'",
    ),
    Case("its `reset` raises", lying(reset=stop), "reset(seed=0) failed: SystemExit: 0 (sys.exit was called)"),
    Case(
        "its `reset` returns no (observations, infos)", lying(reset=lambda seen, _: seen), "expected (observations, i"
    ),
    Case("its `reset` shows another shape", lying(reset=lambda s, i: (s[:2], i)), "have shape (2, 3), expected (4, 3)"),
    Case("its first steps raise", lying(stop), "fails at its first steps, under valid actions: step raised SystemExit"),
    Case("its steps return too few values, or none", lying(lambda _, *a: a[:4]), "step returned 4 values, expected (o"),
    Case("its steps return too few values, or none", lying(lambda *_: None), "step returned None, expected (obs"),
    Case("its steps show another shape", lying(lambda _, s, *o: (s.T, *o)), "have shape (3, 4), expected (4, 3)"),
    Case(
        "its rewards, or the ends of episodes, are not one number for each",
        lying(lambda _, s, r, *o: (s, r.sum(), *o)),
        "step returned rewards of float64, shape (), expected numbers of shape (4,)",
    ),
    Case(
        "its rewards, or the ends of episodes, are not one number for each",
        lying(lambda _, s, r, t, *o: (s, r, t[:3], *o)),
        "step returned terminated of bool, shape (3,), expected numbers of shape (4,)",
    ),
    Case(
        "its rewards, or the ends of episodes, are not one number for each",
        lying(lambda _, s, r, *o: (s, np.array([None] * 4), *o)),
        "step returned rewards of object, shape (4,)",
    ),
    Case(
        "it has no resets of its own, and takes no mask",
        lambda: Maskless([Guess] * 4, autoreset_mode="Disabled"),
        "has autoreset_mode DISABLED, and reset(options={'reset_mask': …}) failed",
    ),
    Case("its constructor raises", lambda: SyncVectorEnv([stop]), "failed: SystemExit: 0 (sys.exit was called)"),
]

FAILED = [
    Case("it shows NaN in one of its environments", late(nan_in_one), "observation is not finite"),
    Case("a reward of one is NaN", late(lambda s, r, *o: (s, r * [1, np.nan, 1, 1], *o)), "sum of rewards is not"),
    Case("it shows another shape in a step", late(lambda s, *o: (s[:, :2], *o)), "have shape (4, 2), expected (4, 3)"),
    Case("a step raises", late(stop), "step raised SystemExit: 0 (sys.exit was called)"),
]

ROWS = {case.row for case in (*REFUSED, *FAILED)} | {"it closes itself", "its subprocess dies"}


def by_row(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: f"{case.row} {case.says}"[:90])


def train(env: Any, **settings: Any) -> tp.Result:
    given = {"population": 12, "generations": 2, "seed": 1, "eval_episodes": 2, "target": None, "episodes": 2}
    return tp.train(env, "cem", **given | settings)


@by_row(REFUSED)
def test_what_never_works_is_refused_in_a_line(case: Case) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        train(case.env)
    assert case.says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("runs").exists()


@by_row(FAILED)
def test_what_fails_now_and_then_is_counted_and_the_rest_goes_on(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    result = train(case.env)
    assert 0 < sum(row["search/failed"] for row in result.metrics) < 12
    line = next(line for line in capsys.readouterr().err.splitlines() if ": failed: " in line)
    assert re.match(r"generation \d, \w+: failed: candidate \d+, episode \d \(seed \d+\), step \d+: ", line)
    assert case.says in line


@pytest.mark.filterwarnings("ignore")  # with which Gymnasium and Python tell what became of the subprocesses
def test_a_subprocess_that_dies_fails_what_was_played_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    result = train(lambda: AsyncVectorEnv([Leaves] * 3))
    assert 0 < sum(row["search/failed"] for row in result.metrics) < 24
    assert "step raised EOFError" in capsys.readouterr().err
    assert not multiprocessing.active_children()


def test_the_page_names_every_case() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page.partition("## Vector environments")[2].partition("\n## ")[0]
    ends = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE))
    assert ends.keys() - {"vector environment"} == ROWS
    for end, cases in {"refused": REFUSED, "failed": FAILED}.items():
        assert all(ends[case.row].startswith(end) for case in cases)
