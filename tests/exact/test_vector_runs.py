"""Whole runs in vector environments: exact where episodes have seeds, and honest where they have none."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv
from quick import quick, rows, weights, without_time
from simulators import MODES, Count, asynchronous, guesses, sync
from worlds import Guess

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

NOTE = "takes no seed for each episode: candidates meet different starts, results depend on the number of"
ROBUST = {"normalize_observations": True, "actions": "sampled", "reevaluate": 2, "episodes": 2}


def facts(result: tp.Result) -> tuple[Any, ...]:
    """All that should not depend on processes and interruptions."""
    return weights(result).tolist(), without_time(rows(result.run_dir)), result.evaluation.returns.tolist()


def config(result: tp.Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.run_dir / "config.json").read_text())
    return found


def test_a_run_with_seeds_is_exact_over_processes_and_resume_and_equals_single_environments(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = facts(quick(Guess, generations=6, **ROBUST))
    alone = quick(guesses, generations=6, **ROBUST)
    assert facts(alone) == whole
    assert facts(quick(partial(guesses, 5), generations=6, workers=3, **ROBUST)) == whole
    quick(guesses, generations=3, run_dir="part", workers=2, **ROBUST)
    assert facts(tp.resume("part", env=guesses, generations=6)) == whole
    assert "takes no seed" not in capsys.readouterr().err
    assert (config(alone)["backend"], config(alone)["starts"]) == ("vector", "of the seed")


@pytest.mark.parametrize("mode", ["async", "sync"])
def test_a_gymnasium_id_is_made_so_that_it_takes_seeds(mode: str) -> None:
    arguments: dict[str, Any] = {"generations": 2, "max_episode_steps": 60, "preset": False}
    many = {"num_envs": 3, "vectorization_mode": mode}
    found = quick("Acrobot-v1", backend="vector", env_args=many, **arguments)
    assert facts(found) == facts(quick("Acrobot-v1", backend="gymnasium", **arguments))
    assert (
        found.evaluate(5).returns.tolist()
        == tp.evaluate(found.policy, "Acrobot-v1", 5, max_episode_steps=60).returns.tolist()
    )
    assert found.record("episode.gif").exists()


def test_box2d_forgets_in_a_vector_environment_too() -> None:
    """Ten of a hundred of the walker's episodes are others when its world remembers."""
    pytest.importorskip("Box2D")
    returns = []
    for arguments in ({"backend": "gymnasium"}, {"backend": "vector", "env_args": {"num_envs": 7}}):
        environment = make_environment("BipedalWalker-v3", max_episode_steps=400, **arguments)  # type: ignore[arg-type]
        policy = tp.LinearPolicy(*environment.spaces)
        candidates = 3 * torch.randn(20, tp.ParamVector(policy.net).dim, generator=torch.Generator().manual_seed(0))
        with make_rollout(environment, policy) as rollout:
            returns.append(rollout.play(candidates, range(4)).returns)
    np.testing.assert_array_equal(*returns)


def test_a_learner_is_exact_in_a_vector_environment() -> None:
    arguments: dict[str, Any] = {"policy_args": {"hidden": (8,)}, "episodes": 37, "eval_episodes": 4, "generations": 4}
    whole = facts(tp.train(Guess, "deepcem", **arguments))
    assert facts(tp.train(guesses, "deepcem", **arguments)) == whole
    assert facts(tp.train(guesses, "deepcem", workers=2, **arguments)) == whole


def test_a_run_without_seeds_says_once_what_it_does_not_keep(capsys: pytest.CaptureFixture[str]) -> None:
    make = partial(guesses, mode="NextStep")
    found = quick(make, run_dir="part")
    error = capsys.readouterr().err
    assert error.count(NOTE) == 1
    assert "(20) and of processes, and a resumed run goes on, but not to the last bit" in error
    assert config(found)["starts"] == "of the simulator"
    assert tp.resume("part", env=make, generations=5).metrics[-1]["rollout/env_steps"] > 0
    with pytest.raises(ValueError, match=r"takes no seed for each episode.*; strict=True refuses that"):
        quick(make, strict=True)


def test_subprocesses_of_several_processes_are_made_by_each() -> None:
    assert len(quick(partial(asynchronous, Count, 2, MODES[0]), workers=2).metrics) == 3


def test_early_stopping_needs_slots_that_can_be_reset() -> None:
    with pytest.raises(ValueError, match="stop_early=True saves nothing in partial"):
        quick(partial(guesses, mode="SameStep"), stop_early=True)
    arguments: dict[str, Any] = {"stop_early": True, "population": 34, "generations": 4}
    make = partial(sync, partial(gymnasium.make, "Pendulum-v1"), 9, MODES[2])
    one = quick(make, **arguments)
    other = quick("Pendulum-v1", backend="gymnasium", preset=False, **arguments)
    assert facts(one) == facts(other)


def made() -> SyncVectorEnv[Any, Any]:
    """Found by its name, from the command line."""
    return guesses()


def test_the_command_line_takes_both(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    quick_options = ["--generations", "2", "--population", "4", "--eval-episodes", "2"]
    mine = ["--env", "test_vector_runs:made"]
    assert main(["train", "cem", *mine, *quick_options, "--run-dir", "mine"]) == 0
    assert main(["resume", "mine", *mine, "--generations", "3"]) == 0
    assert main(["eval", "mine", *mine, "--episodes", "4"]) == 0
    theirs = ["--env", "CartPole-v1", "--backend", "vector", "--env-args", "num_envs=9"]
    assert main(["train", "cem", *theirs, *quick_options, "--run-dir", "theirs"]) == 0
    assert NOTE in capsys.readouterr().err  # CartPole has a simulator of its own, with one seed
    assert main(["resume", "theirs", "--generations", "3"]) == 0
    assert main(["eval", "theirs", "--episodes", "4"]) == 0
    assert main(["record", "theirs", "--out", "theirs.gif"]) == 0
    learn = ["train", "reinforce", *theirs, "--generations", "1", "--eval-episodes", "2"]
    assert main([*learn, "--from", "theirs", "--soften", "0.9"]) == 0


def test_starts_are_refused_where_an_episode_takes_no_seed() -> None:
    with pytest.raises(ValueError, match=r"starts are seeds of episodes, and .* takes none: leave"):
        tp.train(partial(guesses, mode="NextStep"), "deepcem", episodes=6, starts=2)
    assert not Path("runs").exists()


def test_a_simulator_itself_is_an_environment_of_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    simulator = guesses(9)
    found = quick(simulator, run_dir="part")
    assert facts(found) == facts(quick(partial(guesses, 9)))
    assert found.evaluate(5).returns.tolist() == tp.evaluate(found.policy, simulator, 5).returns.tolist()
    assert len(tp.resume("part", env=simulator, generations=4).metrics) == 4
    with pytest.raises(ValueError, match="workers=2: processes cannot share one SyncVectorEnv; give a callable that"):
        quick(simulator, workers=2)
    assert "SyncVectorEnv" in config(found)["env"]
