"""Absurd numbers on the command line end in success, with finite weights, or in one line and exit code 2."""

from pathlib import Path
from typing import Any

import pytest
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.runs.algorithms import algorithm_names

QUICK = {
    **{"env": "CartPole-v1", "generations": "2", "eval-episodes": "3", "run-dir": "run", "max-episode-steps": "30"},
    **{"population": "6", "episodes": "1"},
}
"""Of every command line, unless it says otherwise."""

WORKS = ""

WHOLE, NUMBER = "takes a whole number, got", "takes a number, got"

LINES = [
    # what the shell reads
    ("cem --population many", f"--population {WHOLE} many"),
    ("cem --population 1.5", f"--population {WHOLE} 1.5"),
    ("cem --population True", f"--population {WHOLE} True"),
    ("cem --population 1e3", f"--population {WHOLE} 1e3"),
    ("cem --population=", f"--population {WHOLE}"),
    ("cem --episodes nan", "--episodes takes a whole number or auto, got nan"),
    ("snes --learning-rate fast", "--learning-rate takes a number or auto, got fast"),
    ("cem --keep worst", "Expected one of 'best'"),
    ("cem --generations inf", f"--generations {WHOLE} inf"),
    ("cem --seed 1e19", f"--seed {WHOLE} 1e19"),
    ("cem --std wide", f"--std {NUMBER} wide"),
    ("cem --seconds True", f"--seconds {NUMBER} True"),
    ("cem --hidden 6x4", f"--hidden {WHOLE} 6x4"),
    ("cem --hidden 8 1.5", f"--hidden {WHOLE} 8 1.5"),
    ("cem --hidden=", "--hidden takes the units of each hidden layer, such as --hidden 64 64"),
    # seeds
    ("cem --seed -1", "seed must be an integer >= 0, got -1"),
    ("cem --seed 9223372036854775808", WORKS),
    ("cem --seed 18446744073709551616", WORKS),
    ("reinforce --seed 340282366920938463463374607431768211456", WORKS),
    # how much of everything
    ("cem --population 0", "population must be an integer >= 2, got 0"),
    ("cem --population -1", "population must be an integer >= 2, got -1"),
    ("cem --population 9223372036854775808", "population must be an integer <= 2147483647"),
    ("nes --population 18446744073709551616", "population must be an integer <= 2147483647"),
    ("cem --episodes 0", "episodes must be an integer >= 1, got 0"),
    ("cem --episodes 9223372036854775808", "episodes must be an integer <= 10000000"),
    ("reinforce --episodes -1", "episodes must be an integer >= 1, got -1"),
    ("reinforce --episodes 9223372036854775808", "episodes must be an integer <= 10000000"),
    ("cem --eval-episodes 0", "eval_episodes must be an integer >= 1, got 0"),
    ("cem --eval-episodes 1 --target 9", "eval_episodes must be at least 2 for a target to be judged, got 1"),
    ("cem --eval-episodes 9223372036854775808", "eval_episodes must be an integer <= 10000000"),
    ("cem --eval-every 0", "eval_every must be an integer >= 1, got 0"),
    ("cem --eval-every 9223372036854775808", WORKS),
    ("cem --reevaluate -1", "reevaluate must be an integer >= 0, got -1"),
    ("cem --reevaluate 18446744073709551616", "reevaluate must be an integer <= 10000000"),
    ("cem --max-episode-steps 0", "max_episode_steps must be an integer >= 1, got 0"),
    ("cem --max-episode-steps 9223372036854775807", WORKS),
    ("cem --max-episode-steps 18446744073709551616", "max_episode_steps must be an integer <= 9223372036854775807"),
    ("cem --max-episode-steps 18446744073709551616 --backend gymnasium", "max_episode_steps must be an integer <="),
    ("cem --hidden 0", "hidden must be an integer >= 1, got 0"),
    ("cem --hidden 9223372036854775808", "hidden must be an integer <= 2147483647"),
    ("cem --hidden 8 1000000000000", "hidden must be an integer <= 2147483647"),
    ("cem --policy residual --policy-args width=1e308", "width must be an integer >= 1, got 1e+308"),
    ("cem --policy residual --policy-args blocks=True", "blocks must be an integer >= 1, got True"),
    ("cem --hidden 8,8", WORKS),
    ("cem --hidden=8,8", WORKS),
    ("cem --workers 0", "workers must be an integer >= 1, got 0"),
    # budgets, and when to stop
    ("cem --generations 0", "generations must be an integer >= 1, got 0"),
    ("cem --generations 18446744073709551616 --seconds 1e-300", WORKS),
    ("cem --total-steps -1", "total_steps must be an integer >= 1, got -1"),
    ("cem --total-steps 18446744073709551616", WORKS),
    ("cem --seconds 0", "seconds must be a number in (0, inf), got 0.0"),
    ("cem --seconds nan", "seconds must be a number in (0, inf), got nan"),
    ("cem --seconds 1e308", WORKS),
    ("cem --seconds 1e400", "seconds must be a number in (0, inf), got inf"),
    ("cem --target nan", "target must be 'auto', 'none' or a number, got 'nan'"),
    ("cem --target 1e400", "target must be 'auto', 'none' or a number, got '1e400'"),
    ("cem --target many", "target must be 'auto', 'none' or a number, got 'many'"),
    ("cem --target 1e308", WORKS),
    ("cem --target -1e308", WORKS),
    ("cem --tolerance 0", "tolerance must be a number in (0, inf), got 0.0"),
    ("cem --tolerance 1e-300", WORKS),
    ("cem --tolerance 1e308 --tolerance-generations 1", WORKS),
    ("cem --tolerance 1 --tolerance-generations 18446744073709551616", WORKS),
    ("cem --checkpoint-seconds -1", "checkpoint_seconds must be a number in [0, inf), got -1.0"),
    ("cem --checkpoint-seconds 1e308", WORKS),
    ("cem --checkpoint-seconds inf", "checkpoint_seconds must be a number in [0, inf), got inf"),
    ("cem --step-penalty nan", "step_penalty must be a number in [-inf, inf), got nan"),
    ("cem --survival-bonus 1e-300", WORKS),
    # std and its like
    *((f"{name} --std 0", "std must be positive and finite, got 0.0") for name in ("cem", "nes", "pgpe", "ars")),
    ("snes --std -1", "std must be positive and finite, got -1.0"),
    ("xnes --std nan", "std must be positive and finite, got nan"),
    ("nes --std 1e400", "std must be positive and finite, got inf"),
    ("cem --std 1e-300", "std must be positive and finite, got 1e-300"),
    ("cem --std 1e308", "std is 1e+308, beyond the largest number of torch.float32"),
    *((f"{name} --std 1e17", WORKS) for name in ("cem", "nes", "snes", "xnes", "pgpe", "ars", "cmaes", "sepcma")),
    *((f"{name} --std 1e30", WORKS) for name in ("cmaes", "sepcma")),
    *((f"{name} --min-std 2", "min_std must be a number in (0, 1], got 2.0") for name in ("cmaes", "sepcma")),
    ("ars --std 1e30", "generation 1: the update made weights that are not finite"),
    ("snes --std 1e30", WORKS),
    ("pgpe --std-scale 0", "std_scale must be a number in (0, inf), got 0.0"),
    ("nes --std-scale inf", "std_scale must be a number in (0, inf), got inf"),
    ("nes --std-scale 1e308", "std_scale is 1e+308, beyond the largest number of torch.float32"),
    ("pgpe --std-learning-rate 1e30", WORKS),
    ("snes --std-learning-rate 1e30", WORKS),
    ("xnes --shape-learning-rate -1", "shape_learning_rate must be a number in"),
    ("pgpe --min-std 2", "min_std must be a number in (0, 1], got 2.0"),
    ("deepcem --extra-std 1e308", "extra_std is 1e+308, beyond the largest number of torch.float32"),
    ("deepcem --min-std 1e30", WORKS),
    ("cem --extra-variance 1e30", WORKS),
    # learning rates, shares and discounts
    *((f"{name} --learning-rate -1", "learning_rate must be a number in") for name in ("nes", "pgpe", "reinforce")),
    *((f"{name} --learning-rate 1e308", "learning_rate is 1e+308") for name in ("ars", "deepcem", "xnes")),
    *((f"{name} --learning-rate 1e30", WORKS) for name in ("nes", "ars", "deepcem", "reinforce")),
    ("snes --learning-rate 1e38", WORKS),
    ("nes --learning-rate 1e-300", WORKS),
    ("nes --weight-decay 1e308", "weight_decay is 1e+308"),
    ("cem --elite-fraction 0", "elite_fraction must be a number in (0, 1], got 0.0"),
    ("cem --elite-fraction 1e-300", WORKS),
    ("cem --elite-fraction 1e19", "elite_fraction must be a number in (0, 1], got 1e+19"),
    ("reinforce --discount -1", "discount must be a number in"),
    ("reinforce --discount 1e-300", WORKS),
    ("reinforce --entropy-bonus 1e30", WORKS),
    ("deepcem --percentile 1e19", "percentile must be a number in"),
    ("deepcem --memory 9223372036854775808", WORKS),
    ("deepcem --minibatch 9223372036854775808", WORKS),
]


def run(words: str) -> int:
    """The exit code of ``torchpolicy train``, without presets, and quick unless the words say otherwise."""
    name, *said = words.split()
    own = {word.removeprefix("--").partition("=")[0] for word in said}
    left_out = own | ({"population"} if name in ("deepcem", "reinforce") else set())
    quick = [word for option, value in QUICK.items() if option not in left_out for word in (f"--{option}", value)]
    return main(["train", name, *said, *quick, "--no-preset"])


def check_refusal(err: str, message: str) -> None:
    """Nothing but one line of ours says why, and no policy is there."""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("torchpolicy: ")]
    assert message in line
    assert not (Path("run") / "policy").exists()


def check_policy() -> None:
    """The policy is saved, and finite."""
    assert all(tensor.isfinite().all() for tensor in tp.load("run").state_dict().values())


@pytest.mark.parametrize(("words", "message"), LINES)
def test_an_absurd_number_is_taken_or_refused_in_one_line(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(words)
    out, err = capsys.readouterr()
    if message == WORKS:
        assert code == 0, err
        assert "\ntest   " in out
        check_policy()
    else:
        assert code == 2
        check_refusal(err, message)


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), [1], {}, object(), float("nan")], ids=lambda value: str(value)[:9]
)
def test_what_python_or_a_file_may_give_in_a_numbers_place_is_refused_by_name(value: Any) -> None:
    settings: dict[str, Any] = {"target": None, "generations": 1, "preset": False}
    for algorithm, name in (
        *(("cem", name) for name in ("target", "workers", "seconds", "tolerance", "step_penalty", "std", "min_std")),
        *(("pgpe", name) for name in ("learning_rate", "std_scale", "baseline", "population")),
        *(("reinforce", name) for name in ("discount", "baseline", "episodes")),
    ):
        with pytest.raises(ValueError, match=rf"^{name} (must be|is 10|should be)|^{name}.*, got") as error:
            tp.train("CartPole-v1", algorithm, **settings | {name: value})
        assert "\n" not in str(error.value)
    policy = tp.LinearPolicy(Guess.observation_space, Guess.action_space)
    for name in ("episodes", "seed", "noise_rank"):
        if value != 10**400 or name == "episodes":  # the others may be as large as they like
            with pytest.raises(ValueError, match=rf"^{name} must be an integer"):
                tp.evaluate(policy, Guess, **{name: value})


class Rich(Guess):
    """As Guess, in another currency."""

    def __init__(self, worth: float) -> None:
        self._worth = worth

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward * self._worth, terminated, truncated, info


@pytest.mark.parametrize("worth", ["1e17", "1e19", "-1e30"])
@pytest.mark.parametrize("name", algorithm_names())
def test_rewards_of_any_size_end_in_a_policy_or_in_failures_that_are_told(
    name: str, worth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(f"{name} --env test_numbers:Rich --env-args worth={worth}")
    err = capsys.readouterr().err
    if code == 0:
        check_policy()
    else:
        assert code == 2
        check_refusal(err, "candidates failed" if "candidates failed" in err else "not finite")


def test_every_algorithm_has_its_lines() -> None:
    assert {words.split()[0] for words, _ in LINES} == set(algorithm_names())
    assert len(LINES) >= 100


@pytest.mark.parametrize("width", range(66, 90, 2))
def test_the_choices_are_named_alike_at_every_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The frame around the message breaks its lines anywhere, before a comma or a full stop, too."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert run("cem --keep worst") == 2
    message = "invalid choice 'worst' for argument '--keep'. Expected one of 'best', 'last'."
    assert f"torchpolicy: {message}" in capsys.readouterr().err.splitlines()
