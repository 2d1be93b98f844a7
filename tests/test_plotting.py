import csv
import re
import subprocess
import sys
import warnings
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import pytest
from quick import rows

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.output import returns
from torchpolicy.output.collection import find_runs, group_runs
from torchpolicy.output.summary import iqm, iqm_interval


def test_interquartile_mean_and_interval() -> None:
    assert iqm(np.array([0.0, 1.0, 2.0, 100.0])) == 1.5
    assert iqm(np.array([[7.0], [3.0]])).tolist() == [7.0, 3.0]
    assert iqm(np.array([0.0, 1.0, 2.0, 3.0, 100.0])) == pytest.approx((0.75 * 1 + 2 + 0.75 * 3) / 2.5)
    low, high = iqm_interval(np.random.default_rng(0).normal(5, 1, (3, 200)))
    assert ((low < 5) & (high > 5) & (high - low < 0.5)).all()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed, population in [(0, 8), (1, 8), (0, 16)]:
        settings = {"generations": 3, "eval_episodes": 2, "target": None, "log_dir": tmp_path}
        tp.train("CartPole-v1", "cem", population=population, seed=seed, **settings)  # type: ignore[arg-type]
    tp.train("CartPole-v1", "snes", generations=3, eval_episodes=2, target=None, log_dir=tmp_path)
    return tmp_path


def test_seeds_are_summed_up_and_settings_told_apart(runs: Path) -> None:
    groups = group_runs(find_runs([runs]))
    assert {label: len(group) for label, group in groups.items()} == {
        "cem population=16": 1,
        "cem population=8": 2,
        "snes": 1,
    }
    assert len(find_runs([runs, next(runs.rglob("config.json")).parent])) == 4  # none twice


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_is_drawn(runs: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "torchpolicy", "plot", str(runs), "--out", f"curves.{kind}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"curves.{kind}"
    assert done.stderr.startswith("drawn for CartPole-v1: mean return in training (rollout/ep_rew_mean), because ")
    assert Path(f"curves.{kind}").stat().st_size > 5000


def test_the_metric_that_is_drawn_is_said_and_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    settings = {"population": 8, "eval_episodes": 2, "target": None, "log_dir": tmp_path}
    long = tp.train("CartPole-v1", "cem", generations=3, eval_every=2, **settings)  # type: ignore[arg-type]
    capsys.readouterr()

    def drawn(**arguments: str) -> str:
        """What the axis says, which is what is told."""
        picture = tp.plot(tmp_path, "curves.svg", **arguments).read_text()
        told = capsys.readouterr().err
        assert told.count("\n") == 1
        (label,) = [text for text in LABELLED if all(f"<!-- {line} -->" in picture for line in wrap(text, 40))]
        assert told.startswith(f"drawn for CartPole-v1: {label}")
        return told.strip()

    assert drawn() == "drawn for CartPole-v1: held-out return (eval/mean_reward)"
    assert long.metrics[-1]["eval/closing"] == 1  # that is its second point
    assert drawn(metric="search/signal") == "drawn for CartPole-v1: search/signal"
    short = tp.train("CartPole-v1", "cem", generations=3, **settings)  # type: ignore[arg-type]
    capsys.readouterr()
    assert drawn() == (
        f"drawn for CartPole-v1: mean return in training (rollout/ep_rew_mean), because {short.run_dir} has 1 held-out "
        "evaluation, and a curve needs two (choose another metric with --metric, or metric=)"
    )
    assert drawn(metric="eval/mean_reward") == "drawn for CartPole-v1: held-out return (eval/mean_reward)"
    with pytest.raises(ValueError, match=r"has no metric 'search/signl'; did you mean 'search/signal'\?; it has"):
        short.plot(metric="search/signl")


LABELLED = ("held-out return (eval/mean_reward)", "mean return in training (rollout/ep_rew_mean)", "search/signal")


def test_mistakes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no run with metrics in there"):
        find_runs([tmp_path])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r'pip install "torchpolicy\[plots\]"'):
        tp.plot(tmp_path)


def test_the_spread_of_returns_is_drawn_with_the_threshold_of_the_elite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    for name, algorithm in (("deep", "deepcem"), ("wide", "cem")):
        settings: dict[str, Any] = {"episodes": 6, "eval_episodes": 2, "preset": False}  # an elite of episodes
        tp.train("CartPole-v1", algorithm, generations=3, run_dir=tmp_path / name, **settings)
    labels: list[list[str]] = []
    draw = returns._draw

    def spy(panel: Any, run: Any) -> None:
        draw(panel, run)
        labels.append([line.get_label() for line in panel.get_lines()])
        low, high = (run.curve("rollout/env_steps", f"rollout/ep_rew_{which}")[1] for which in ("p25", "p75"))
        edge = panel.collections[1].get_paths()[0].vertices[:, 1]
        assert (edge.min(), edge.max()) == (low.min(), high.max())

    monkeypatch.setattr(returns, "_draw", spy)
    assert main(["plot", str(tmp_path), "--kind", "returns", "-o", "returns.svg"]) == 0
    assert Path("returns.svg").stat().st_size > 5000
    assert labels == [["median", "threshold of the elite", "held-out return"], ["median", "held-out return"]]


def test_a_picture_of_returns_has_one_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(tmp_path), "--kind", "returns", "--metric", "search/signal"]) == 2
    assert "--metric is for --kind curves" in capsys.readouterr().err


@pytest.mark.parametrize(("x", "label"), [("steps", "environment steps"), ("seconds",) * 2, ("generations",) * 2])
def test_what_the_axis_counts_is_chosen_and_lines_are_named(runs: Path, x: str, label: str) -> None:
    pytest.importorskip("matplotlib")
    names = ["--title", "My study", "--label", "wide", "narrow", "natural"]
    words = ["plot", str(runs), "-o", "curves.svg", "--x", x, "--metric", "rollout/ep_rew_mean", *names]
    assert main(words) == 0
    picture = Path("curves.svg").read_text()
    said = re.findall("<!-- (.+?) -->", picture)
    assert label in said
    assert sum(axis in said for axis in ("environment steps", "seconds", "generations")) == 1
    assert {"My study", "wide", "narrow (2 seeds)", "natural"} <= set(said)
    assert "CartPole-v1" not in said


def test_too_few_names_are_refused(runs: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="name 3 configurations, cem population=16, cem population=8, snes, got 1"):
        tp.plot(runs, labels=["one"])
    with pytest.raises(ValueError, match="x must be one of steps, seconds, generations, got 'hours'"):
        tp.plot(runs, x="hours")


def test_metrics_are_read_as_columns(runs: Path) -> None:
    columns = tp.read_runs(runs)
    assert list(columns)[:6] == ["run", "env", "algorithm", "configuration", "seed", "generation"]
    assert {len(column) for column in columns.values()} == {12}  # 4 runs of 3 generations
    assert set(columns["configuration"]) == {"cem population=16", "cem population=8", "snes"}
    (run,) = {str(name) for name in columns["run"] if "snes" in str(name)}
    ours, there = columns["run"] == run, rows(Path(run))
    assert columns["generation"][ours].tolist() == [1, 2, 3]
    for name in ("rollout/env_steps", "rollout/ep_rew_mean"):
        assert columns[name].dtype == float
        assert columns[name][ours].tolist() == [row[name] for row in there]
    assert [np.isnan(value) for value in columns["eval/mean_reward"][ours]] == [True, True, False]


def test_a_csv_holds_the_same_numbers(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(runs), "-o", "runs.csv"]) == 0
    assert capsys.readouterr().out == "runs.csv\n"
    with Path("runs.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    columns = tp.read_runs(runs)
    assert list(found[0]) == list(columns)
    for name, column in columns.items():
        read = [row[name] for row in found]
        if column.dtype == float:
            assert np.array_equal([float(value or "nan") for value in read], column, equal_nan=True), name
        else:
            assert read == [str(value) for value in column.tolist()]
    assert main(["plot", str(runs), "-o", "runs.csv", "--metric", "search/signal"]) == 2
    assert "--metric is for pictures" in capsys.readouterr().err


def test_bars_are_the_test_scores_with_their_interval(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    drawn: list[tuple[float, list[list[float]]]] = []
    monkeypatch.setattr(Axes, "barh", lambda self, place, width, xerr, **how: drawn.append((width, xerr)))
    rows = tp.compare(runs).rows
    assert tp.plot_bars(runs, "bars.svg", title="Scores").stat().st_size > 3000
    assert len(drawn) == len(rows) > 1
    for (width, ends), row in zip(sorted(drawn), sorted(rows, key=lambda row: row.iqm), strict=True):
        low, high = row.interval or (row.iqm, row.iqm)
        assert width == row.iqm
        assert [width - ends[0][0], width + ends[1][0]] == pytest.approx([low, high])


LONG = "std_scale=0.2576092235167773 learning_rate=0.19697762663924667 total_steps=1000000 population=0"


def test_bars_have_room_for_long_names(tmp_path: Path, runs: Path) -> None:
    pytest.importorskip("matplotlib")
    with warnings.catch_warnings():  # matplotlib warns where a name leaves no room for the bars
        warnings.simplefilter("error")
        found = sorted({row.label for row in tp.compare(runs).rows})
        tp.plot_bars(runs, tmp_path / "bars.svg", labels=[f"{name} {LONG}" for name in found])
    assert (tmp_path / "bars.svg").read_text().count("<!-- total_steps=1000000 population=0 (") == len(found)


def test_bars_are_drawn_by_a_command_that_says_what_it_takes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main(["plot", str(runs), "--kind", "bars", "-o", "bars.png"]) == 0
    assert Path("bars.png").stat().st_size > 3000
    assert main(["plot", str(runs), "--kind", "bars", "--x", "steps"]) == 2
    assert "--x is for --kind curves" in capsys.readouterr().err
    assert main(["plot", str(runs), "--kind", "bars", "--label", "one"]) == 2
    assert "labels must name" in capsys.readouterr().err
