"""The table of test scores over seeds."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quick import quick

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.output.comparison import Comparison, Improvement, Row
from torchpolicy.output.summary import iqm


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of CEM with eight candidates, two with four, and one run in another environment."""
    folder = tmp_path_factory.mktemp("runs")
    for population, seed in [(8, 0), (8, 2), (8, 1), (4, 0), (4, 5)]:
        run_dir = folder / f"cem{population}-s{seed}"
        quick("CartPole-v1", population=population, seed=seed, run_dir=run_dir, target=None, eval_episodes=6)
    quick(run_dir=folder / "guess")
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "runs"))


def score(run_dir: Path) -> float:
    return float(json.loads((run_dir / "policy" / "policy.json").read_text())["test"]["mean"])


def test_seeds_are_summed_up_and_the_best_comes_first(runs: Path) -> None:
    found = tp.compare(runs)
    rows = {row.label: row for row in found.rows if row.env == "CartPole-v1"}
    assert sorted(rows) == ["cem population=4", "cem population=8"]
    row = rows["cem population=8"]
    scores = [score(runs / f"cem8-s{seed}") for seed in (0, 1, 2)]
    assert row.seeds.tolist() == [0, 1, 2]
    assert row.scores.tolist() == scores
    assert row.iqm == iqm(np.array(scores))
    assert row.threshold == 475  # Gymnasium's, because the runs had no target
    assert row.reached == sum(each >= 475 for each in scores)
    last = [json.loads((runs / f"cem8-s{seed}" / "metrics.jsonl").read_text().splitlines()[-1]) for seed in (0, 1, 2)]
    assert row.env_steps == np.median([each["rollout/env_steps"] for each in last])
    first, second = (row for row in found.rows if row.env == "CartPole-v1")
    assert first.iqm >= second.iqm
    (pair,) = found.improvements
    assert (pair.better, pair.other) == (first.label, second.label)
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in first.scores for b in second.scores]
    assert pair.probability == np.mean(wins)


def test_the_command_prints_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs), "--threshold", "20"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "CartPole-v1"
    assert " ".join(told[1].split()) == "seeds IQM 95 % interval worst seed reach 20 env steps seconds"
    worst = min(range(3), key=lambda seed: score(runs / f"cem8-s{seed}"))
    (line,) = [line for line in told[:4] if line.startswith("cem population=8")]
    assert f"{score(runs / f'cem8-s{worst}'):.1f} ({worst})" in line
    assert "of 3" in line
    assert told[5].startswith("probability of improvement")
    assert " over cem population=" in told[6]
    assert told[8] == "fewer than 5 seeds say too little for an interval"
    assert told[10] == "worlds:Guess"
    assert told[12].split()[:3] == ["cem", "1", f"{score(runs / 'guess'):.3f}"]  # a small score needs more digits


def test_runs_without_a_test_do_not_count(runs: Path) -> None:
    shutil.rmtree(runs / "cem8-s0" / "policy")
    found = tp.compare(str(runs))
    assert found.unfinished == [runs / "cem8-s0"]
    assert str(found).endswith(f"not finished, and left out: {runs / 'cem8-s0'}")
    assert {len(row.scores) for row in found.rows if row.env == "CartPole-v1"} == {2}
    with pytest.raises(ValueError, match="no run is finished"):
        tp.compare(runs / "cem8-s0")


def test_a_run_that_is_there_twice_counts_once(runs: Path) -> None:
    shutil.copytree(runs / "cem8-s1", runs / "again")
    assert {row.label: row.seeds.tolist() for row in tp.compare(runs).rows if row.env == "CartPole-v1"} == {
        "cem population=8": [0, 1, 2],
        "cem population=4": [0, 5],
    }


def test_a_damaged_score_is_no_unfinished_run(runs: Path) -> None:
    (runs / "cem8-s0" / "policy" / "policy.json").write_text("{}")
    with pytest.raises(ValueError, match=r"policy\.json"):
        tp.compare(runs)


def test_budgets_are_told_apart(tmp_path: Path) -> None:
    for generations in (1, 2):
        quick(generations=generations, run_dir=tmp_path / str(generations))
    assert sorted(row.label for row in tp.compare(tmp_path).rows) == ["cem generations=1", "cem generations=2"]


def test_what_is_kept_and_policies_of_ones_own_are_told_apart(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"generations": 1, "eval_episodes": 2, "target": None, "log_dir": tmp_path}
    for keep in ("best", "last"):
        quick(keep=keep, run_dir=tmp_path / keep)
    for net in (torch.nn.Linear(4, 2), torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2))):
        tp.train("CartPole-v1", "snes", policy=net, **settings)
    labels = {row.label for row in tp.compare(tmp_path).rows}
    assert labels == {"cem keep=best", "cem keep=last", "snes net=2x4,2", "snes net=3x4,3,2x3,2"}


def test_few_seeds_have_no_interval() -> None:
    rows = [Row("E", f"{n} seeds", np.arange(n), np.arange(n) + 0.5, None, 1.0, 1.0) for n in (4, 5)]
    assert rows[0].interval is None
    low, high = rows[1].interval or (0.0, 0.0)
    assert 0.5 <= low < rows[1].iqm < high <= 4.5
    *_, pair, _, note = str(Comparison(rows, [Improvement("E", "5 seeds", "4 seeds", 0.6, None)], [])).splitlines()
    assert pair.split()[-1] == "-"
    assert note == "fewer than 5 seeds say too little for an interval"


def test_numbers_in_labels_are_short_unless_that_makes_them_the_same(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"generations": 1, "population": 4, "eval_episodes": 2, "target": None, "preset": False}
    for rate in (0.123456789, 0.12345678, 0.5, 0.69816508566):
        tp.train("CartPole-v1", "snes", learning_rate=rate, log_dir=tmp_path, **settings)
    rates = sorted(row.label.rpartition("=")[2] for row in tp.compare(tmp_path).rows)
    assert rates == ["0.12345678", "0.123456789", "0.5", "0.6982"]


def test_of_many_pairs_those_with_the_best_are_printed() -> None:
    rows = [Row("E", f"c{n}", np.arange(2), np.full(2, 9.0 - n), None, 1.0, 1.0) for n in range(7)]
    pairs = [Improvement("E", a.label, b.label, 1.0, (1.0, 1.0)) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    text = str(Comparison(rows, pairs, []))
    assert (text.count(" over "), text.count("c0 over ")) == (6, 6)
    assert "of the best one only" in text
    assert str(Comparison(rows[:6], [pair for pair in pairs if pair.other != "c6"], [])).count(" over ") == 15
