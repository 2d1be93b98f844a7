"""Searching for hyperparameters: what is tried, what counts, and what becomes of a sweep that is interrupted."""

import json
import pickle
import signal
import tomllib
from pathlib import Path
from typing import Any

import pytest
from quick import rows

import torchpolicy as tp
from torchpolicy.base.signals import Stopped
from torchpolicy.cli import main
from torchpolicy.cli import sweep as command
from torchpolicy.many import sweep as many_sweep
from torchpolicy.many.space import Choices, Range, read_space

pytest.importorskip("optuna")

STD = "std_scale=0.1..2"


def test_ranges_and_values_are_read() -> None:
    words = ["std_scale=0.1..1", "--learning-rate=log:0.001..0.3", "population=8..64", "episodes=1,4,auto", "keep=last"]
    assert read_space([*words, "elite_fraction=1e-2..1"]) == {
        "std_scale": Range(0.1, 1),
        "learning_rate": Range(0.001, 0.3, log=True),
        "population": Range(8, 64, whole=True),
        "episodes": Choices((1, 4, "auto")),
        "keep": Choices(("last",)),
        "elite_fraction": Range(0.01, 1),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a sweep needs --param at least once"),
        (["std"], "--param takes name=low..high, name=log:low..high or name=value,value, got 'std'"),
        (["std="], "--param takes"),
        (["std=2..1"], "--param std=2..1: the first end must be below the second one"),
        (["std=log:0..1"], "and above 0 with log"),
        (["std=1..2", "std=3"], "--param names std twice"),
    ],
)
def test_nonsense_gets_one_line(words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_space(words)


class Machine:
    """Trains nothing: the held-out score is highest where std_scale is 0.5, and 1 less with every seed after 100.

    A run scores 3 less at its end.
    """

    def __init__(self) -> None:
        self.calls: list[dict[int, dict[str, Any]]] = []
        self.stop_at = -1

    def side_by_side(self, runs: dict[int, bytes], jobs: int, _: object) -> dict[int, str]:
        self.calls.append({seed: pickle.loads(packed) for seed, packed in runs.items()})
        if len(self.calls) == self.stop_at:
            raise Stopped(signal.SIGINT)
        for seed, given in self.calls[-1].items():
            if given["std_scale"] > 1.8:
                return {seed: "weights that are not finite"}
            score = 10 - (given["std_scale"] - 0.5) ** 2 - (seed - 100)
            found = [{"rollout/env_steps": 1, "eval/mean_reward": each} for each in (score, score - 3)]
            Path(given["run_dir"]).mkdir(parents=True)
            (Path(given["run_dir"]) / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
        return {}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(many_sweep, "side_by_side", made.side_by_side)
    return made


def test_the_best_trial_has_the_best_mean_over_the_seeds(machine: Machine) -> None:
    found = tp.sweep("CartPole-v1", "snes", params=[STD], trials=30, seeds=[100, 102], jobs=2, generations=3)
    assert len(machine.calls) == len(found.trials) == 30
    assert all(set(call) == {100, 102} for call in machine.calls)
    std = found.best["std_scale"]
    assert abs(std - 0.5) < 0.3
    assert found.score == pytest.approx(10 - (std - 0.5) ** 2 - 1)
    assert found.score == max(row["score"] for row in found.trials if row["score"] is not None)
    failed = [row for row in found.trials if row["score"] is None]
    assert all(row["std_scale"] > 1.8 for row in failed)  # they count, and end nothing


def test_a_trial_has_the_score_of_the_policy_that_its_run_keeps(machine: Machine) -> None:
    usual: dict[str, Any] = {"params": ["std_scale=0.5"], "trials": 1, "seeds": [100], "generations": 3}
    assert tp.sweep("CartPole-v1", "snes", **usual).score == 10
    assert tp.sweep("CartPole-v1", "snes", keep="last", **usual).score == 7


def test_a_trial_that_is_worse_than_most_is_stopped_after_some_seeds(machine: Machine) -> None:
    found = tp.sweep("CartPole-v1", "snes", params=[STD], trials=30, seeds=[100, 101, 102], jobs=1, generations=3)
    stopped = [row for row in found.trials if row["stopped"]]
    assert 0 < len(stopped) < 30
    whole = [row for row in found.trials if not row["stopped"] and row["score"] is not None]
    assert len(machine.calls) < 3 * 30
    assert found.score == max(row["score"] for row in whole)


def test_an_interrupted_sweep_goes_on_with_the_trial_that_it_was_at(machine: Machine) -> None:
    usual = {"params": [STD], "trials": 4, "seeds": [100], "generations": 3}

    def sweep(**settings: Any) -> tp.Sweep:
        return tp.sweep("CartPole-v1", "snes", **usual | settings)  # type: ignore[arg-type]

    machine.stop_at = 3
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from here"):
        sweep()
    found = sweep()
    stds = [call[100]["std_scale"] for call in machine.calls]
    assert stds[2] == stds[3]
    assert len(stds) == 5
    assert len(found.trials) == 4
    assert sweep(trials=6).run_dir == found.run_dir
    assert len(machine.calls) == 7
    others = [sweep(generations=4).run_dir, sweep(params=["std_scale=0.1..1"]).run_dir, sweep(seeds=[101]).run_dir]
    assert len({found.run_dir, *others}) == 4
    with pytest.raises(ValueError, match="holds a sweep of other settings: name another run_dir"):
        sweep(generations=5, run_dir=found.run_dir)


def test_mistakes_are_found_before_anything_is_trained(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for settings, message in [
        ({"params": ["std_scal=0.1..1"]}, "unknown argument 'std_scal'"),
        ({"params": ["population=0..8"]}, "population must be an integer >= 2, got 0"),
        ({"trials": 0}, "trials must be an integer >= 1, got 0"),
        ({"seeds": [1, 1]}, "seed 1 is given twice"),
        ({"env": "CartPol-v1"}, "CartPol"),
    ]:
        given = {"env": "CartPole-v1", "algorithm": "snes", "params": [STD], **settings}
        with pytest.raises(ValueError, match=message):
            tp.sweep(**given)  # type: ignore[arg-type]
    assert not machine.calls
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ValueError, match=r'pip install "torchpolicy\[sweep\]"'):
        tp.sweep("CartPole-v1", "snes", params=[STD])


def test_every_trial_is_made_of_ordinary_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"generations": 2, "eval_episodes": 3, "run_dir": "study"}
    found = tp.sweep("CartPole-v1", "cem", params=["population=4..9"], trials=1, seeds=[100, 101], jobs=2, **settings)
    for seed in (100, 101):
        run = Path(f"study/t0000/s{seed}")
        config = json.loads((run / "config.json").read_text())
        assert config["hyperparameters"]["population"] == found.best["population"]
        assert (config["seed"], config["target"]) == (seed, None)
        tp.load(run)
    last = [rows(Path(f"study/t0000/s{seed}"))[-1]["eval/mean_reward"] for seed in (100, 101)]
    assert found.score == sum(last) / 2


def test_the_command_prints_the_best_trials_and_writes_a_preset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def sweep(**given: Any) -> tp.Sweep:
        asked.update(given)
        best = {"std_scale": 0.25, "optimizer": "adam"}
        scores = enumerate([1.5, 9.0, None])
        trials = [{"trial": number, "score": score, "stopped": number == 1, **best} for number, score in scores]
        return tp.Sweep(Path("study"), best, 9.0, trials)

    monkeypatch.setattr(command, "sweep", sweep)
    words = ["nes", "--env", "CartPole-v1", "--param", "std_scale=0.1..1", "--param", "optimizer=adam,sgd"]
    words += ["--trials", "3", "--total-steps", "5000", "--seeds", "100,103", "--policy-args", "hidden=(4,)"]
    words += ["--write-preset", "mine.toml"]
    assert main(["sweep", *words]) == 0
    assert asked == {
        "env": "CartPole-v1",
        "algorithm": "nes",
        "params": ("std_scale=0.1..1", "optimizer=adam,sgd"),
        "trials": 3,
        "seeds": [100, 103],
        "jobs": None,
        "total_steps": 5000,
        "policy_args": {"hidden": (4,)},
    }
    told = capsys.readouterr().out.splitlines()
    assert told[1].split() == ["1", "9", "0.25", "adam", "(stopped", "early)"]
    assert told[2].split() == ["0", "1.5", "0.25", "adam"]
    same = "--env CartPole-v1 --policy-args 'hidden=(4,)' --total-steps 5000"
    assert told[5] == f"next   torchpolicy train nes {same} --std-scale 0.25 --optimizer adam --seeds 0-9"
    best = {"std_scale": 0.25, "optimizer": "adam"}
    kept = {"target": "none", "total_steps": 5000, "policy_args": {"hidden": [4]}}
    assert tomllib.loads(Path("mine.toml").read_text()) == {"CartPole-v1": [kept | best]}
    assert main(["sweep", *words]) == 0  # a second one stands beside it
    assert len(tomllib.loads(Path("mine.toml").read_text())["CartPole-v1"]) == 2


def test_a_word_too_few_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in [
        ("snes --param std=1..2", "sweep where? name an environment with --env"),
        ("sness --env CartPole-v1 --param std=1..2", "unknown algorithm 'sness'; did you mean 'snes'?"),
        ("snes --env CartPole-v1", "a sweep needs --param at least once"),
    ]:
        assert main(["sweep", *words.split()]) == 2
        assert f"torchpolicy: {message}" in capsys.readouterr().err
