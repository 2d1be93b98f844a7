"""Tuned settings: that they are complete, that they count after the user's, and that a run says what it took."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

import torchpolicy as tp
from torchpolicy import api
from torchpolicy.runs import preset
from torchpolicy.runs.algorithms import algorithm_names
from torchpolicy.runs.job import Job
from torchpolicy.runs.preset import DEFAULTS, describe, find_preset, kind_of, presets_of, settle
from torchpolicy.runs.settings import Settings

ALL = [
    (algorithm, env, settings)
    for algorithm in algorithm_names()
    for env, presets in presets_of(algorithm).items()
    for settings in presets
]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs that would have been run."""
    jobs: list[Job] = []

    def keep(job: Job, *_: object) -> Path:
        jobs.append(job)
        return Path()

    monkeypatch.setattr(api, "run", keep)
    monkeypatch.setattr(api, "result_of", lambda job, folder, env: None)
    return jobs


@pytest.mark.parametrize(("algorithm", "env", "settings"), ALL)
def test_every_preset_makes_a_run(jobs: list[Job], algorithm: str, env: str, settings: dict[str, Any]) -> None:
    if "mujoco" in str(gymnasium.spec(env).entry_point):
        pytest.importorskip("mujoco")
    tp.train(env, algorithm, policy=kind_of(settings))
    (job,) = jobs
    assert "target" in settings, "else a budget would leave it open whether to stop at the environment's threshold"
    config = {**job.config, **job.config["hyperparameters"], **job.config["policy"]}
    for name, value in settings.items():
        if name == "policy_args":
            assert {key: config[name].get(key) for key in value} == value
        elif name == "target":
            assert config[name] == (None if value == "none" else value)
        else:
            assert config[name] == value
    said = {name: value for name, value in settings.items() if name != "policy"}
    assert config["preset"] == f"{algorithm}/{env}: {describe(said)}"


def test_an_environment_has_one_preset_for_a_kind_of_policy() -> None:
    kinds = [(algorithm, env, kind_of(settings)) for algorithm, env, settings in ALL]
    assert len(set(kinds)) == len(kinds)


def test_every_file_of_presets_belongs_to_an_algorithm() -> None:
    files = (Path(preset.__file__).parent / "presets").glob("*.toml")
    assert {path.stem for path in files} <= set(algorithm_names())


PRESET = {"population": 20, "episodes": 5, "total_steps": 1000, "target": 3.0, "std": 0.5}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, PRESET),
        ({"target": "auto", "generations": None}, PRESET),
        ({"population": 8}, {**PRESET, "population": 8}),
        ({"episodes": 1}, {**PRESET, "episodes": 1}),
        ({"target": "none"}, {**PRESET, "target": "none"}),
        ({"seconds": 3.0}, {"population": 20, "episodes": 5, "std": 0.5, "seconds": 3.0}),
        (
            {"seconds": 3.0, "target": "auto"},
            {"population": 20, "episodes": 5, "std": 0.5, "seconds": 3.0, "target": "auto"},
        ),
        (
            {"generations": 3, "target": 9.0},
            {"population": 20, "episodes": 5, "std": 0.5, "generations": 3, "target": 9.0},
        ),
    ],
)
def test_the_users_word_counts_before_the_preset_and_that_before_the_default(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    settings, taken = settle(given, PRESET)
    assert {name: value for name, value in settings.items() if value is not None} == {
        name: value for name, value in {**DEFAULTS, **expected}.items() if value is not None
    }
    assert taken == {name: value for name, value in PRESET.items() if name in settings and name not in given} | (
        {"target": 3.0} if given.get("target") == "auto" and "seconds" not in given else {}
    )


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """CartPole-v1 has two presets, the best for a network with a hidden layer."""
    deep = {"population": 6, "episodes": 2, "policy_args": {"hidden": [3]}, "generations": 2, "target": "none"}
    linear = {"population": 8, "generations": 1, "target": "none"}
    monkeypatch.setattr(preset, "presets_of", lambda algorithm: {"CartPole-v1": [deep, linear]})


@pytest.mark.usefixtures("tuned")
def test_a_run_says_and_records_what_it_took_and_resumes(capsys: pytest.CaptureFixture[str]) -> None:
    result = tp.train("CartPole-v1", "cem", eval_episodes=2, population=4)
    line = "cem/CartPole-v1: episodes 2, policy_args {'hidden': [3]}, generations 2, target none"
    assert f"preset {line}" in capsys.readouterr().err
    config = json.loads((result.run_dir / "config.json").read_text())
    assert (config["preset"], config["episodes"], config["hyperparameters"]["population"]) == (line, 2, 4)
    more = tp.resume(result.run_dir, generations=3)
    assert len(more.metrics) == 3
    assert "preset" not in capsys.readouterr().err


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize(
    "mine",
    [{"preset": False}, {"policy": tp.LinearPolicy}, {"policy": "residual"}, {"policy_args": {"bias": False}},
     {"policy_args": {"hidden": [3], "activation": "relu"}}, {"max_episode_steps": 20},
     {"env_args": {"sutton_barto_reward": True}}],
)  # fmt: skip
def test_who_changes_policy_or_environment_takes_none_of_it(mine: dict[str, Any]) -> None:
    result = tp.train("CartPole-v1", "cem", generations=1, eval_episodes=2, **mine)
    config = json.loads((result.run_dir / "config.json").read_text())
    assert (config["preset"], config["episodes"], config["hyperparameters"]["population"]) == (None, 1, 64)


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize(
    ("mine", "population", "hidden"),
    [
        ({}, 6, [3]),
        ({"policy": "mlp"}, 6, [3]),
        ({"policy_args": {"hidden": [5, 5]}}, 6, [5, 5]),
        ({"policy": "mlp", "policy_args": {"hidden": [5, 5]}}, 6, [5, 5]),
        ({"policy": "linear"}, 8, None),
    ],
)
def test_who_names_a_policy_takes_the_preset_for_its_kind(
    jobs: list[Job], mine: dict[str, Any], population: int, hidden: list[int] | None
) -> None:
    tp.train("CartPole-v1", "cem", **mine)
    (job,) = jobs
    assert job.config["hyperparameters"]["population"] == population
    assert job.config["policy"]["policy_args"].get("hidden") == hidden


def test_a_search_object_and_an_environment_of_ones_own_have_none() -> None:
    search = tp.CEM(torch.zeros(2))
    for algorithm, env in [
        (search, "CartPole-v1"),
        ("cem", lambda: None),
        ("cem", "nothing"),
        ("nothing", "CartPole-v1"),
    ]:
        assert find_preset(Settings(env=env, algorithm=algorithm)) == {}


def test_no_target_is_no_target_beside_a_preset_too(tmp_path: Path) -> None:
    for number, target in enumerate([None, "none"]):
        tp.train(
            "CartPole-v1", "snes", target=target, total_steps=1000, eval_episodes=2, run_dir=tmp_path / str(number)
        )
        assert json.loads((tmp_path / str(number) / "config.json").read_text())["target"] is None


def test_who_scales_std_takes_no_std_of_a_preset() -> None:
    _, taken = settle({"std_scale": 0.5, "std": None}, {"std": 2.0, "population": 10})
    assert taken == {"population": 10}


def test_a_run_says_where_there_is_no_preset_and_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick: dict[str, Any] = {"total_steps": 1, "eval_episodes": 2, "max_episode_steps": 5, "target": None}

    def told(env: Any, **settings: Any) -> list[str]:
        tp.train(env, "snes", **quick | settings)
        return [line for line in capsys.readouterr().err.splitlines() if "preset" in line]

    (line,) = told("Taxi-v4", population=6)
    taken = "policy linear, bias False, population 6, learning_rate 1.0, episodes 1, total_steps 1"
    assert line == f"no preset of snes for Taxi-v4, so it takes {taken}"
    assert told("Taxi-v4", preset=False) == []
    why = "is for the unchanged environment with the policy linear, and is not used here: the run takes policy linear"
    (line,) = told("CartPole-v1")
    assert line.startswith(f"the preset of snes for CartPole-v1 {why}")
    (line,) = told("CartPole-v1", max_episode_steps=None, policy="residual")
    assert "is for the unchanged environment with the policy linear" in line
    monkeypatch.setattr(preset, "presets_of", lambda name: {"Taxi-v4": [{}]} if name in ("cem", "ars") else {})
    (line,) = told("Taxi-v4", policy_args={"hidden": (4,)})
    assert line.startswith(
        "no preset of snes for Taxi-v4 (there is one of ars, cem), so it takes policy mlp, hidden [4], "
    )


def test_a_run_says_how_far_its_budget_goes_once(capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"population": 6, "eval_episodes": 2, "target": None, "run_dir": "run"}
    tp.train("CartPole-v1", "cem", total_steps=200, **settings)
    assert "steps: the budget of 200 steps is " in capsys.readouterr().err
    tp.resume("run", total_steps=400)
    assert "the budget of" not in capsys.readouterr().err
