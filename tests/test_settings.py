"""One list of settings: whoever else speaks of them says the same."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import docstring_parser
import pytest

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.cli.base import settings_options
from torchpolicy.output.config import FIELDS, OLD_NAMES
from torchpolicy.runs.algorithms import algorithm_names
from torchpolicy.runs.config_file import FOR_THE_RECORD, IN_CONFIG
from torchpolicy.runs.preset import presets_of
from torchpolicy.runs.settings import DEFAULTS, MAY_CHANGE, PRESETTABLE, RECORDED, Settings, about
from torchpolicy.training.plan import Plan

SETTINGS = {each.name: each for each in fields(Settings)}


def test_train_has_every_setting_as_an_argument_with_the_same_default_and_type() -> None:
    signature = inspect.signature(tp.train)
    assert list(signature.parameters) == list(SETTINGS)
    for name, parameter in signature.parameters.items():
        if name not in ("env", "algorithm", "hyperparameters"):  # which are required, or the rest
            assert parameter.default == SETTINGS[name].default, name
            assert str(parameter.annotation) == str(SETTINGS[name].type), name


def test_train_describes_every_setting() -> None:
    described = docstring_parser.parse(tp.train.__doc__ or "").params
    assert [each.arg_name.lstrip("*") for each in described] == list(SETTINGS)


def test_resume_takes_and_names_what_may_change(capsys: pytest.CaptureFixture[str]) -> None:
    budget = docstring_parser.parse(tp.resume.__doc__ or "").params[-1]
    assert all(f"`{name}`" in (budget.description or "") for name in MAY_CHANGE)
    with pytest.raises(SystemExit):
        main(["resume", "--help"])
    told = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in told for name in MAY_CHANGE)


def test_the_command_line_has_every_setting_that_words_can_give(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "cem", "--help"])
    told = capsys.readouterr().out
    for name, each in SETTINGS.items():
        assert (f"--{name.replace('_', '-')} " in told or f"--{name.replace('_', '-')}," in told) == (
            about(each).option is not None
        ), name


def test_options_have_the_defaults_of_the_settings() -> None:
    for name, _, default in settings_options(list(SETTINGS)):
        if default != () and name != "env":  # which --config may name
            assert default == (Path("runs") if name == "log_dir" else SETTINGS[name].default)


def test_a_plan_is_made_of_settings_with_the_same_defaults() -> None:
    for each in fields(Plan):
        known = SETTINGS[each.name]
        expected = known.default if known.default not in (None, "auto") else about(known).otherwise
        if each.name not in ("seed", "episodes", "normalize_observations"):  # required, or decided by the others
            assert each.default == expected, each.name


def test_a_configuration_holds_the_recorded_settings_and_its_record() -> None:
    assert set(FIELDS) == {*IN_CONFIG, *FOR_THE_RECORD}
    assert set(RECORDED) <= set(FIELDS)


@pytest.mark.parametrize("algorithm", algorithm_names())
def test_presets_hold_what_presets_may(algorithm: str) -> None:
    others = set(SETTINGS) - set(PRESETTABLE)
    assert not [
        name for presets in presets_of(algorithm).values() for each in presets for name in each if name in others
    ]


def test_what_may_be_left_open_has_a_default() -> None:
    assert all(SETTINGS[name].default is None for name in DEFAULTS)
    assert [name for name in SETTINGS if SETTINGS[name].default is MISSING] == ["env", "algorithm"]


QUICK: dict[str, Any] = {"generations": 1, "population": 4, "eval_episodes": 2}


def test_an_old_name_is_still_understood_everywhere() -> None:
    assert OLD_NAMES == {"survival_bonus": "step_penalty"}
    new = tp.train("CartPole-v1", "cem", step_penalty=0.5, run_dir="new", **QUICK)
    old = tp.train("CartPole-v1", "cem", survival_bonus=0.5, run_dir="old", **QUICK)
    with pytest.raises(ValueError, match="survival_bonus is the old name of step_penalty: give step_penalty alone"):
        tp.train("CartPole-v1", "cem", survival_bonus=0.5, step_penalty=0.5)
    words = ["train", "cem", "--env", "CartPole-v1", "--generations", "1", "--population", "4", "--eval-episodes", "2"]
    for number, option in enumerate((["--survival-bonus", "0.5"], ["--survival_bonus=0.5"])):
        assert main([*words, *option, "--run-dir", f"words{number}"]) == 0
    Path("run.toml").write_text(
        'env = "CartPole-v1"\nalgorithm = "cem"\nsurvival_bonus = 0.5\ngenerations = 1\neval_episodes = 2\n'
        "[hyperparameters]\npopulation = 4\n"
    )
    assert main(["train", "--config", "run.toml", "--run-dir", "toml"]) == 0
    weights = {(Path(run) / "policy" / "weights.safetensors").read_bytes() for run in ("words0", "words1", "toml")}
    assert weights == {(each.run_dir / "policy" / "weights.safetensors").read_bytes() for each in (new, old)}
    assert len(weights) == 1


def test_a_run_of_a_version_with_old_names_goes_on() -> None:
    tp.train("CartPole-v1", "cem", step_penalty=0.5, run_dir="run", **QUICK)
    path = Path("run/config.json")
    text = path.read_text().replace('"step_penalty"', '"survival_bonus"')
    path.write_text("\n".join(line for line in text.splitlines() if "checksum" not in line).replace(",\n}", "\n}"))
    assert len(tp.resume("run", generations=2).metrics) == 2
    assert '"survival_bonus"' in path.read_text()
