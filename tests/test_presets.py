"""Tuned settings: that they are complete, that they count after the user's, and that a run says what it took."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import torchpolicy as tp
from torchpolicy import api
from torchpolicy.runs import preset
from torchpolicy.runs.algorithms import algorithm_names
from torchpolicy.runs.job import Job
from torchpolicy.runs.preset import DEFAULTS, describe, find_preset, presets_of, settle

ALL = [(algorithm, env) for algorithm in algorithm_names() for env in presets_of(algorithm)]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs that would have been run."""
    jobs: list[Job] = []

    def keep(job: Job, *_: object) -> Path:
        jobs.append(job)
        return Path()

    monkeypatch.setattr(api, "run", keep)
    monkeypatch.setattr(api, "_result", lambda job, folder, env: None)
    return jobs


@pytest.mark.parametrize(("algorithm", "env"), ALL)
def test_every_preset_makes_a_run(jobs: list[Job], algorithm: str, env: str) -> None:
    tp.train(env, algorithm)
    (job,) = jobs
    settings = presets_of(algorithm)[env]
    assert "target" in settings, "else a budget would leave it open whether to stop at the environment's threshold"
    config = {**job.config, **job.config["hyperparameters"], **job.config["policy"]}
    for name, value in settings.items():
        if name == "policy_args":
            assert {key: config[name].get(key) for key in value} == value
        elif name == "target":
            assert config[name] == (None if value == "none" else value)
        else:
            assert config[name] == value
    assert config["preset"] == f"{algorithm}/{env}: {describe(settings)}"


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
    """CartPole-v1 has a preset, of another policy."""
    found = {"population": 6, "episodes": 2, "policy_args": {"hidden": [3]}, "generations": 2, "target": "none"}
    monkeypatch.setattr(api, "find_preset", lambda algorithm, env: found if env == "CartPole-v1" else {})


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
    [{"preset": False}, {"policy": "linear"}, {"policy_args": {"bias": False}}, {"max_episode_steps": 20},
     {"env_args": {"sutton_barto_reward": True}}],
)  # fmt: skip
def test_who_changes_policy_or_environment_takes_none_of_it(mine: dict[str, Any]) -> None:
    result = tp.train("CartPole-v1", "cem", generations=1, eval_episodes=2, **mine)
    config = json.loads((result.run_dir / "config.json").read_text())
    assert (config["preset"], config["episodes"], config["hyperparameters"]["population"]) == (None, 1, 64)


def test_a_search_object_and_an_environment_of_ones_own_have_none() -> None:
    assert find_preset(tp.CEM(torch.zeros(2)), "CartPole-v1") == {}
    assert find_preset("cem", object) == {}
    assert find_preset("nothing", "CartPole-v1") == {}


def test_no_target_is_no_target_beside_a_preset_too(tmp_path: Path) -> None:
    for number, target in enumerate([None, "none"]):
        tp.train(
            "CartPole-v1", "snes", target=target, total_steps=1000, eval_episodes=2, run_dir=tmp_path / str(number)
        )
        assert json.loads((tmp_path / str(number) / "config.json").read_text())["target"] is None


def test_who_scales_std_takes_no_std_of_a_preset() -> None:
    _, taken = settle({"std_scale": 0.5, "std": None}, {"std": 2.0, "population": 10})
    assert taken == {"population": 10}
