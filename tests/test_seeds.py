"""Several seeds in one command: each run is what it would be alone, whatever happens to it or to the others."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from many import Mishap
from quick import quick, rows, weights, without_time
from torch import nn
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.many import seeds as many_seeds
from torchpolicy.many.display import Display
from torchpolicy.many.seeds import seeds_in_words

QUICK: dict[str, Any] = {"generations": 3, "population": 8, "eval_episodes": 4}


def net(observations: object, actions: object) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 3)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("0-3", [0, 1, 2, 3]), ("0,3,5", [0, 3, 5]), ("0-2,7", [0, 1, 2, 7]), ("4", [4]), ("9, 2-3", [9, 2, 3])],
)
def test_seeds_are_said_as_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert seeds_in_words(text) == seeds


@pytest.mark.parametrize("text", ["", "many", "3-1", "1-", "-1", "0-3-5", "1,,2", "1.5", "0-99999999", "0 3"])
def test_nonsense_gets_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"--seeds takes whole numbers and ranges, such as 0-9 .*, got") as error:
        seeds_in_words(text)
    assert "\n" not in str(error.value)


def test_every_seed_has_the_bits_that_it_has_alone(capfd: pytest.CaptureFixture[str]) -> None:
    results = tp.train_seeds(Guess, "cem", seeds=[5, 3], jobs=2, policy=net, run_dir="group", **QUICK)
    told = capfd.readouterr().err
    assert [result.run_dir for result in results] == [Path("group/s5"), Path("group/s3")]
    assert sorted(path.name for path in Path("group").iterdir()) == [".lock", "s3", "s5", "seeds.json"]
    for seed, found in zip([5, 3], results, strict=True):
        alone = quick(seed=seed, policy=net)
        assert torch.equal(weights(found), weights(alone))
        assert without_time(found.metrics) == without_time(alone.metrics)
        assert (found.evaluation.returns == alone.evaluation.returns).all()
        assert found.environment == alone.environment
        assert re.search(
            rf"seed {seed}: test {alone.evaluation.mean:.4g} after \d+ env steps and \d.* s \(\d of 2", told
        )
    assert "2 seeds, 2 at a time, in group\n" in told
    again = tp.train_seeds(Guess, "cem", seeds=[5], policy=net, run_dir="group", **QUICK)
    assert torch.equal(weights(again[0]), weights(results[0]))
    assert "seed 5: " not in capfd.readouterr().err  # nothing was run again


def test_a_seed_that_fails_takes_no_other_along_and_is_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    def train() -> list[tp.Result]:
        return tp.train_seeds(Guess, "cem", seeds=[3, 5, 7], jobs=3, callbacks=[Mishap()], **QUICK)

    with pytest.raises(tp.SeedsError, match="2 of 3 seeds failed in runs/Guess/cem-seeds-") as error:
        train()
    told, failures = capfd.readouterr().err, error.value.failures
    assert "seed 5 is out of luck" in failures[5]
    assert failures[7] == "its process was ended by SIGKILL"
    assert f"seed 7: failed: {failures[7]} (" in told
    assert [result.run_dir.name for result in error.value.results] == ["s3"]
    folder = error.value.run_dir
    assert tp.compare(folder).unfinished == [folder / "s5", folder / "s7"]
    before = (folder / "s3" / "metrics.jsonl").stat().st_mtime_ns
    Path("mended").touch()
    results = train()
    assert [result.run_dir for result in results] == [folder / "s3", folder / "s5", folder / "s7"]
    assert f"3 seeds, 2 at a time, in {folder}, 1 of which are finished" in capfd.readouterr().err
    assert (folder / "s3" / "metrics.jsonl").stat().st_mtime_ns == before
    for seed, found in zip([3, 5, 7], results, strict=True):
        alone = quick(seed=seed)
        assert torch.equal(weights(found), weights(alone))
        assert without_time(rows(found.run_dir)) == without_time(alone.metrics)


def test_the_command_prints_a_table_and_draws_the_curves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    words = "train cem --env worlds:Guess --seeds 0-1 --jobs 2 --generations 3 --population 8 --eval-episodes 4"
    words += " --run-dir group"
    assert main(words.split()) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "worlds:Guess"
    assert told[2].split()[:2] == ["cem", "2"]
    assert told[4] == "fewer than 5 seeds say too little for an interval"
    assert told[6:9] == ["curves group/curves.png", "runs   group", "next   torchpolicy compare group"]
    assert Path("group/curves.png").stat().st_size > 5000
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(words.split()) == 0
    assert 'curves none: drawing needs matplotlib: pip install "torchpolicy[plots]"' in capsys.readouterr().out


def test_a_command_in_which_a_seed_fails_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train(**given: Any) -> None:
        assert given["seeds"] == [0, 1]
        raise tp.SeedsError(Path("group"), {1: "bad luck"}, [quick(run_dir="group/s0")])

    monkeypatch.setattr("torchpolicy.cli.train.train_seeds", train)
    assert main(["train", "cem", "--env", "CartPole-v1", "--seeds", "0-1"]) == 2
    told = capsys.readouterr()
    assert "worlds:Guess" in told.out
    last = "torchpolicy: 1 of 2 seeds failed in group, and the same command tries them again: seed 1: bad luck\n"
    assert told.err.endswith(last)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[int], int]]:
    """Seeds and number of jobs of each call that would start processes; all seeds fail."""
    found = []

    def side_by_side(runs: dict[int, bytes], jobs: int, _: object) -> dict[int, str]:
        found.append((list(runs), jobs))
        return dict.fromkeys(runs, "not tried")

    monkeypatch.setattr(many_seeds, "side_by_side", side_by_side)
    return found


def test_jobs_are_as_many_as_cores_allow(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_seeds, "usable_cores", lambda: 8)
    for seeds, settings in [(20, {}), (3, {}), (20, {"workers": 3}), (20, {"workers": 99}), (20, {"jobs": 10})]:
        with pytest.raises(tp.SeedsError):
            tp.train_seeds(Guess, "cem", seeds=range(seeds), **QUICK, **settings)
    assert [jobs for _, jobs in asked] == [8, 3, 2, 1, 10]


def test_a_group_goes_on_only_with_exactly_the_same_command(asked: list[Any]) -> None:
    folders = []
    for seeds, settings in [([0, 1], {}), ([0, 1], {}), ([0], {}), ([0, 1], {"generations": 9}), ([0, 1], {"std": 2})]:
        with pytest.raises(tp.SeedsError) as error:
            tp.train_seeds(Guess, "cem", seeds=seeds, **{**QUICK, **settings})
        folders.append(error.value.run_dir)
    assert folders[0] == folders[1]
    assert len(set(folders)) == 4


def test_a_folder_of_seeds_takes_more_of_them_and_nothing_else(asked: list[Any]) -> None:
    with pytest.raises(tp.SeedsError):
        tp.train_seeds(Guess, "cem", seeds=[0, 1], run_dir="group", **QUICK)
    with pytest.raises(tp.SeedsError):
        tp.train_seeds(Guess, "cem", seeds=[1, 2], run_dir="group", **QUICK)
    assert [seeds for seeds, _ in asked] == [[0, 1], [1, 2]]
    with pytest.raises(ValueError, match="group holds seeds of another configuration"):
        tp.train_seeds(Guess, "snes", seeds=[0], run_dir="group", **QUICK)
    with pytest.raises(ValueError, match="run_dir group is neither empty nor a run"):
        quick(run_dir="group")
    quick(run_dir="one")
    with pytest.raises(ValueError, match="run_dir one is a run of one seed: name a new one"):
        tp.train_seeds(Guess, "cem", seeds=[0], run_dir="one", **QUICK)
    Path("group/seeds.json").write_text('{"format_version": 1, "seeds": "all"}')
    with pytest.raises(tp.CheckpointError, match=r"group/seeds\.json: .*seeds"):
        tp.train_seeds(Guess, "cem", seeds=[0], run_dir="group", **QUICK)


class Inner:
    class_of_its_own = Guess


def test_what_other_processes_cannot_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, message in [
        (
            {"env": lambda: Guess()},
            r"env: other processes cannot be given .*<lambda>: define it at the top of a module",
        ),
        ({"policy": lambda *_: nn.Linear(3, 3)}, r"policy: other processes cannot be given .*give policy='mine:name'"),
        ({"callbacks": [threading.Lock()]}, "callbacks: other processes cannot be given list"),
        ({"seed": 3}, "seed and seeds are two ways"),
        ({"seeds": [1, 2, 1]}, "seed 1 is given twice"),
        ({"seeds": []}, "seeds must name one seed at least"),
        ({"seeds": [-1]}, "seed must be an integer >= 0, got -1"),
        ({"jobs": 0}, "jobs must be an integer >= 1, got 0"),
        ({"popultion": 3}, "unknown argument 'popultion'"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            tp.train_seeds(**{"env": Guess, "algorithm": "cem", "seeds": [0, 1], **settings})  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(ValueError, match="start them without torchrun"):
        tp.train_seeds(Guess, "cem", seeds=[0])
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seeds 0-x", "--seeds takes whole numbers and ranges, such as 0-9 or 0,3,5 or 0-3,7, got 0-x"),
        ("--seeds 0-3 --seed 1", "--seed and --seeds are two ways to say the same: leave one of them out"),
        ("--jobs 2", "--jobs goes with --seeds: it says how many of them are trained at a time"),
        ("--seeds 0-3 --jobs 0", "jobs must be an integer >= 1, got 0"),
        ("--seeds 0-3 --jobs two", "--jobs takes a whole number, got two"),
    ],
)
def test_a_mistake_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cem", "--env", "CartPole-v1", *words.split()]) == 2
    assert f"torchpolicy: {message}" in capsys.readouterr().err


SCRIPT = """
import torchpolicy as tp
from worlds import Guess

class Mine(Guess):
    pass

settings = dict(seeds=[0, 1], jobs=2, generations=2, population=4, eval_episodes=2, run_dir="group")
print(len(tp.train_seeds(Guess, "cem", **settings)))
try:
    tp.train_seeds(Mine, "cem", **settings)
except ValueError as error:
    print(error)
"""


def test_a_script_needs_no_guard_and_its_own_classes_are_refused() -> None:
    Path("script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{Path(tp.__file__).parents[1]}"},
    )
    assert done.stdout.splitlines() == [
        "2",
        "env: other processes do not import the script or notebook that is running, in which Mine is defined: define "
        "it at the top of a module, such as mine.py, and import it from there, or give env='mine:name'",
    ]


class Show(Display):
    def result(self, key: int) -> str:
        return f"{key}!"


def test_plain_lines_say_which_runs_are_how_far(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("torchpolicy.many.display.time.monotonic", lambda: now[0])
    show = Show("seed", 3, 1, ["a preset"])
    show.begun(4)
    show.begun(6)
    show.said(4, "a preset")
    show.said(4, "a warning")
    show.said(6, "a warning")
    show.far(4, 0.25, "generation 1")
    assert capsys.readouterr().err == "seed 4: a warning\n"
    now[0] = 11
    show.far(6, 0.5, "generation 2")
    show.ended(6, None)
    show.ended(4, "bad luck")
    show.close()
    assert capsys.readouterr().err.splitlines() == [
        "1 of 3 are finished, running: seed 4 (25%), 6 (50%)",
        "seed 6: 6! (2 of 3 are finished)",
        "seed 4: failed: bad luck (2 of 3 are finished)",
    ]


def test_a_terminal_has_a_line_for_each_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torchpolicy.many.display.has_width", lambda: True)
    show = Show("seed", 3, 0, [])
    show.begun(0)
    show.begun(1)
    show.far(1, 0.5, "generation 7")
    show.ended(0, None)
    show.begun(2)
    assert sorted(bar.pos for bar in (show._bars or {}).values()) == [-1, 0]  # the place of 0 is taken by 2
    show.close()
    told = capsys.readouterr().err
    assert "seed 1 | generation 7" in told
    assert "seed 0: 0! (1 of 3 are finished)\n" in told
    assert told.endswith("\r")
