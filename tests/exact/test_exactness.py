"""The number of processes is a speed setting, and a run in parts is the run in one."""

import json
import multiprocessing
import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from interruptible import children, gone
from torch import nn
from worlds import Broken, Guess

import torchpolicy as tp
from torchpolicy import RunError
from torchpolicy.base.discovery import names
from torchpolicy.base.processes import Group
from torchpolicy.runs.job import Job
from torchpolicy.runs.session import run_job

CASES: list[tuple[Any, dict[str, Any]]] = [
    ("CartPole-v1", {"population": 25, "generations": 6}),
    ("CartPole-v1", {"population": 2, "generations": 3}),
    ("Acrobot-v1", {"population": 11, "generations": 2, "policy_args": {"hidden": (8,)}, "max_episode_steps": 90}),
    (Guess, {"population": 10, "generations": 4, "episodes": 3}),
]


def strip(metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in metrics]


def facts(result: tp.Result) -> tuple[dict[str, Any], list[dict[str, float]], list[float]]:
    state = {name: tensor.tolist() for name, tensor in result.policy.state_dict().items()}
    return state, strip(result.metrics), result.evaluation.returns.tolist()


def train(env: Any = "CartPole-v1", **arguments: Any) -> tp.Result:
    return tp.train(env, "cem", **{"eval_episodes": 6, "eval_every": 2, "seed": 1, **arguments})


@pytest.mark.parametrize(("env", "arguments"), CASES)
@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_any_number_of_processes_gives_the_same_bits(env: Any, arguments: dict[str, Any], workers: int) -> None:
    assert facts(train(env, workers=workers, **arguments)) == facts(train(env, **arguments))


ROBUST = {"normalize_observations": True, "actions": "sampled", "reevaluate": 2, "step_penalty": 0.5, "tolerance": 0.1}


@pytest.mark.parametrize("name", names("search"))
def test_every_search_is_exact_over_processes_and_resume(name: str) -> None:
    arguments = {"population": 10, "eval_episodes": 4, "eval_every": 2, "max_episode_steps": 40, **ROBUST}
    whole = facts(tp.train("Acrobot-v1", name, generations=6, **arguments))
    assert facts(tp.train("Acrobot-v1", name, generations=6, workers=2, **arguments)) == whole
    tp.train("Acrobot-v1", name, generations=3, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=6)) == whole


@pytest.mark.parametrize(
    "name", ["Hopper-v5", *(pytest.param(f"{each}-v5", marks=pytest.mark.slow) for each in ("Ant", "Humanoid"))]
)
def test_mujoco_slots_are_exact_over_processes_and_resume(name: str) -> None:
    """They also give what a run through Gymnasium does."""
    arguments: dict[str, Any] = {"population": 40, "eval_episodes": 4, "eval_every": 2, "max_episode_steps": 60}
    arguments |= {"policy_args": {"hidden": (8,)}, "preset": False, **ROBUST}
    whole = facts(tp.train(name, "nes", generations=4, backend="gymnasium", **arguments))
    assert facts(tp.train(name, "nes", generations=4, workers=2, backend="native", **arguments)) == whole
    tp.train(name, "nes", generations=2, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=4)) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snes", "ars"])
def test_episodes_that_are_stopped_early_are_the_same_over_processes_and_resume(name: str) -> None:
    """Every process has the same reference, and a run that goes on has the one it had."""
    arguments: dict[str, Any] = {"population": 34, "eval_episodes": 4, "eval_every": 2, "max_episode_steps": 200}
    arguments |= {"policy_args": {"hidden": (8,)}, "preset": False, "episodes": 2, "stop_early": True, **ROBUST}
    whole = facts(tp.train("HalfCheetah-v5", name, generations=5, **arguments))
    assert sum(row["rollout/stopped"] > 0 for row in whole[1]) > 2
    assert facts(tp.train("HalfCheetah-v5", name, generations=5, workers=2, **arguments)) == whole
    tp.train("HalfCheetah-v5", name, generations=2, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=5)) == whole


LOW_RANK = [*product(["nes", "pgpe", "ars"], ["native", "gymnasium"])]
LOW_RANK_FAST = ("nes", "native"), ("ars", "gymnasium")


@pytest.mark.parametrize(
    ("name", "backend"),
    [pytest.param(*case, marks=[] if case in LOW_RANK_FAST else pytest.mark.slow) for case in LOW_RANK],
)
def test_noise_of_low_rank_is_exact_over_processes_and_resume(name: str, backend: str) -> None:
    arguments: dict[str, Any] = {"population": 10, "eval_episodes": 4, "eval_every": 2, "noise_rank": 1}
    arguments |= {"max_episode_steps": 40, "policy_args": {"hidden": (16, 16)}, "backend": backend, **ROBUST}
    whole = facts(tp.train("Acrobot-v1", name, generations=4, **arguments))
    assert facts(tp.train("Acrobot-v1", name, generations=4, workers=2, **arguments)) == whole
    tp.train("Acrobot-v1", name, generations=2, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=4)) == whole


LEARNERS: list[tuple[str, str, dict[str, Any]]] = [
    ("reinforce", "CartPole-v1", {}),
    ("deepcem", "CartPole-v1", {"memory": 2}),
    ("deepcem", "Pendulum-v1", {"starts": 4, "elite": "advantages", "episodes": 36}),
]


@pytest.mark.parametrize(
    ("name", "env", "own"),
    [*LEARNERS, pytest.param("reinforce", "Pendulum-v1", {"entropy_bonus": 0.01}, marks=pytest.mark.slow)],
)
def test_every_learner_is_exact_over_processes_and_resume(name: str, env: str, own: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"policy_args": {"hidden": (8,)}, "episodes": 37, "eval_episodes": 4, "eval_every": 2}
    arguments |= {"max_episode_steps": 40, "normalize_observations": True, **own}
    whole = facts(tp.train(env, name, generations=6, **arguments))
    for workers in (2, 3):
        assert facts(tp.train(env, name, generations=6, workers=workers, **arguments)) == whole
    tp.train(env, name, generations=3, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=6)) == whole


def test_every_learner_is_tried_for_exactness() -> None:
    assert {name for name, _, _ in LEARNERS} == set(names("learn"))


@pytest.mark.parametrize("name", ["snes", "nes"])
def test_what_tunes_itself_is_exact_over_processes_and_resume(name: str) -> None:
    arguments: dict[str, Any] = {"population": 10, "eval_episodes": 4, "eval_every": 2, "max_episode_steps": 40}
    arguments |= {"episodes": "auto", "learning_rate": "auto"}
    whole = tp.train("CartPole-v1", name, generations=6, **arguments)
    assert len({row["rollout/episodes_each"] for row in whole.metrics}) > 1
    assert facts(tp.train("CartPole-v1", name, generations=6, workers=2, **arguments)) == facts(whole)
    tp.train("CartPole-v1", name, generations=3, run_dir="part", workers=3, **arguments)
    assert facts(tp.resume("part", generations=6)) == facts(whole)


def test_hyperparameters_in_words_are_resumed() -> None:
    arguments = {"baseline": "mean", "optimizer": "rmsprop", "population": 10, "eval_episodes": 4}
    whole = facts(tp.train("CartPole-v1", "nes", generations=4, **arguments))
    tp.train("CartPole-v1", "nes", generations=2, run_dir="part", **arguments)
    assert facts(tp.resume("part", generations=4)) == whole


@pytest.mark.parametrize(
    "name", ["LunarLander-v3", pytest.param("BipedalWalker-v3", marks=pytest.mark.slow), "HalfCheetah-v5"]
)
def test_box2d_and_mujoco_are_exact_too(name: str) -> None:
    pytest.importorskip("Box2D" if "v3" in name else "mujoco")
    arguments = {"population": 9, "generations": 2, "max_episode_steps": 150, "policy_args": {"hidden": (8,)}}
    assert facts(train(name, workers=2, **arguments)) == facts(train(name, **arguments))


def test_what_no_letter_has_room_for_is_exchanged_too(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = tp.train("CartPole-v1", "deepcem", generations=3, episodes=9, preset=False)
    monkeypatch.setattr("torchpolicy.base.letters.MOST", 3 * 20)  # 20 bytes of each of three processes
    together = tp.train("CartPole-v1", "deepcem", generations=3, episodes=9, preset=False, workers=3)
    assert facts(together) == facts(alone)


def test_closures_and_local_classes_work_in_processes() -> None:
    scale = 3.0

    class Local(Guess):
        def step(self, action: int) -> Any:
            observation, reward, *rest = super().step(action)
            return observation, scale * reward, *rest

    def make(observation_space: Any, action_space: Any) -> nn.Module:
        torch.manual_seed(0)
        return nn.Linear(3, 3)

    arguments = {"policy": make, "population": 8, "generations": 3}
    alone, together = train(lambda: Local(), **arguments), train(lambda: Local(), workers=2, **arguments)
    assert facts(alone) == facts(together)
    assert alone.evaluation.mean > 10


def test_a_search_object_ends_at_the_center_whatever_the_processes() -> None:
    searches = [tp.CEM(torch.zeros(12), population=8) for _ in range(2)]
    for search, workers in zip(searches, (1, 2), strict=True):
        tp.train(Guess, search, generations=3, eval_episodes=2, workers=workers)
    assert torch.equal(searches[0].center, searches[1].center)


def test_failures_in_processes_are_told_like_in_one(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError, match=r"(?s)candidates failed in Broken, the second generation running.*OddError"):
        train(Broken, env_args={"how": "raise"}, policy_args={"bias": False}, generations=3, workers=2)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("what", ["center", "net"])
def test_processes_that_begin_with_different_weights_are_refused_before_the_first_generation(
    what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As those of torchrun do, where a factory does not seed what it makes."""

    def with_other_weights(job: Job, run_dir: Path, group: Group, **options: Any) -> None:
        if group.rank == 1:
            tensors = [job.algorithm.center] if what == "center" else list(job.policy.parameters())
            for tensor in tensors:
                tensor.detach().add_(1e-6)
        run_job(job, run_dir, group, **options)

    monkeypatch.setattr("torchpolicy.runs.workers.run_job", with_other_weights)
    with pytest.raises(tp.RunError, match="the processes begin with different weights"):
        tp.train("CartPole-v1", "cem", generations=2, workers=2, run_dir=tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob("*"))


def test_one_process_starts_nothing() -> None:
    before = children(os.getpid())
    train(Guess, population=4, generations=2)
    assert not dist.is_initialized()
    assert [pid for pid in children(os.getpid()) if not gone(pid)] == before


@pytest.mark.parametrize("cut", [1, 4])
def test_more_budget_goes_on_as_if_it_had_been_there(cut: int) -> None:
    whole = train(generations=7, population=10)
    train(generations=cut, population=10, run_dir="part")
    assert facts(tp.resume("part", generations=7, workers=1 + cut // 4)) == facts(whole)


def test_train_into_its_folder_resumes_it(capsys: pytest.CaptureFixture[str]) -> None:
    first = train(generations=3, population=10, run_dir="run")
    events = len(list(Path("run").glob("events*")))
    again = train(generations=3, population=10, run_dir="run")
    assert facts(again) == facts(first)
    assert "run is finished: its budget of generations is used up" in capsys.readouterr().err
    assert len(list(Path("run").glob("events*"))) == events
    config = Path("run/config.json").read_bytes()
    tp.resume("run", generations=2)  # less than it has had
    assert Path("run/config.json").read_bytes() == config


def test_a_finished_run_with_a_target_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    result = train(target=20, generations=30, population=10)
    tp.resume(result.run_dir)
    assert "is finished: its target is reached" in capsys.readouterr().err
    further = tp.resume(result.run_dir, target="none", generations=len(result.metrics) + 2)
    assert len(further.metrics) == len(result.metrics) + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"population": 12}, "population was 10, is 12"),
        ({"env": "Acrobot-v1"}, "env was CartPole-v1, is Acrobot-v1"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"episodes": 2}, "episodes was 1, is 2"),
        ({"policy_args": {"hidden": (3,)}}, "policy was"),
        ({"policy": nn.Linear(4, 2)}, r"policy was \{'policy': 'linear', .*, is None"),
    ],
)
def test_another_configuration_is_refused_field_by_field(change: dict[str, Any], message: str) -> None:
    train(generations=2, population=10, run_dir="run")
    with pytest.raises(ValueError, match=f"run is a run of another configuration: .*{message}"):
        train(**{"generations": 2, "population": 10, "run_dir": "run", **change})


def test_code_of_ones_own_is_given_again() -> None:
    def make() -> nn.Module:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[0].requires_grad_(False)
        return net

    whole = train(Guess, policy=make(), generations=4, population=6)
    train(Guess, policy=make(), generations=2, population=6, run_dir="part")
    with pytest.raises(ValueError, match=r"name it again, --env worlds:Guess"):
        tp.resume("part")
    with pytest.raises(ValueError, match="around a module of your own: name it again, --policy"):
        tp.resume("part", env=Guess)
    with pytest.raises(ValueError, match="net was"):
        tp.resume("part", env=Guess, policy=nn.Linear(3, 3))
    other_frozen_weights = nn.Sequential(nn.Linear(3, 3).requires_grad_(False), nn.Linear(3, 3))
    assert facts(tp.resume("part", env=Guess, policy=other_frozen_weights, generations=4)) == facts(whole)


def test_what_cannot_be_resumed_is_said() -> None:
    with pytest.raises(tp.CheckpointError, match="nowhere: no such run folder"):
        tp.resume("nowhere")
    train(generations=1, population=4, run_dir="run")
    with pytest.raises(ValueError, match="population of a run cannot be changed"):
        tp.resume("run", population=5)
    for path in Path("run/checkpoints").iterdir():
        path.write_bytes(b"")
    with pytest.raises(tp.CheckpointError, match="no checkpoint can be read"):
        tp.resume("run", generations=2)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(capsys: pytest.CaptureFixture[str]) -> None:
    whole = train(generations=6, population=10)
    train(generations=4, population=10, run_dir="part", checkpoint_seconds=0)
    newest = max(Path("part/checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    assert facts(tp.resume("part", generations=6)) == facts(whole)
    assert f"checkpoint refused, going on from the one before: {newest}: damaged" in capsys.readouterr().err
    assert len((Path("part") / "metrics.jsonl").read_text().splitlines()) == 6


def test_torn_and_later_lines_of_metrics_are_cut() -> None:
    whole = train(generations=5, population=10)
    train(generations=3, population=10, run_dir="part")
    with Path("part/metrics.jsonl").open("a") as file:
        file.write(json.dumps({"generation": 4, "rollout/env_steps": 10**9}) + "\n" + '{"generation": 5, "ro')
    assert facts(tp.resume("part", generations=5)) == facts(whole)


def test_tensorboard_shows_one_curve_over_sessions() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(generations=3, population=10, run_dir="run")
    result = tp.resume("run", generations=6)
    board = EventAccumulator("run").Reload()
    assert [event.value for event in board.Scalars("generation")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in board.Scalars("generation")] == [row["rollout/env_steps"] for row in result.metrics]


def test_a_writer_that_cannot_write_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torchpolicy.output.writers.tensorboard import TensorBoardWriter

    def full(writer: object, metrics: object, progress: float, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorBoardWriter, "write", full)
    assert len(train(generations=4, population=10).metrics) == 4
    assert capsys.readouterr().err.count("TensorBoardWriter cannot write: [Errno 28] No space left") == 1


def test_a_full_disk_costs_a_warning(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import torchpolicy.training.recovery

    whole = train(generations=6, population=10)
    real, calls = torchpolicy.training.recovery.save_checkpoint, []

    def full(folder: Path, generation: int, state: dict[str, Any]) -> Path:
        calls.append(generation)
        if generation in (2, 3):
            raise OSError(28, "No space left on device")
        return real(folder, generation, state)

    monkeypatch.setattr(torchpolicy.training.recovery, "save_checkpoint", full)
    assert facts(train(generations=6, population=10, checkpoint_seconds=0)) == facts(whole)
    assert calls == [0, 1, 2, 3, 4, 5, 6]
    assert "generation 2: the checkpoint could not be saved: [Errno 28] No space left" in capsys.readouterr().err
    calls.clear()

    def last_one_fails(folder: Path, generation: int, state: dict[str, Any]) -> Path:
        return real(folder, generation, state) if generation < 6 else full(folder, 2, state)

    monkeypatch.setattr(torchpolicy.training.recovery, "save_checkpoint", last_one_fails)
    with pytest.raises(RunError, match="the last checkpoint could not be saved"):
        train(generations=6, population=10, checkpoint_seconds=0, run_dir="full")
    np.testing.assert_array_equal(tp.load("full").act(np.zeros((3, 4))), tp.load(whole.run_dir).act(np.zeros((3, 4))))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_64_processes_give_the_same_bits() -> None:
    arguments: dict[str, Any] = {"population": 70, "generations": 3}
    assert facts(train(Guess, workers=64, **arguments)) == facts(train(Guess, **arguments))
