"""Runs on another device than the CPU: the same code, without a GPU, on a device that keeps tensors apart."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import NAME, in_process_with_device
from gymnasium.vector import AutoresetMode
from simulators import MODES, Count, Tensors
from torch import nn

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import make_rollout

SMALL = {"generations": 4, "eval_every": 2, "eval_episodes": 4, "preset": False}

SHORT = SMALL | {"generations": 3, "max_episode_steps": 40}
"""Every operation on that device is an operation in Python."""

RUNS: list[dict[str, Any]] = [
    {"env": "CartPole-v1", "algorithm": "cem"},
    {"env": "CartPole-v1", "algorithm": "cem", "backend": "gymnasium"},
    {"env": "CartPole-v1", "algorithm": "ars", "population": 10, "policy_args": {"hidden": (8,)}},
    {"env": "CartPole-v1", "algorithm": "nes", "noise_rank": 1, "policy": "residual", "normalize_observations": True},
    {"env": "CartPole-v1", "algorithm": "pgpe", "noise_rank": 1, "policy_args": {"hidden": (9, 9)}, "population": 10}
    | {"backend": "gymnasium", "normalize_observations": True},
    {"env": "Pendulum-v1", "algorithm": "snes", "max_episode_steps": 20, "normalize_observations": True},
    {"env": "FrozenLake-v1", "algorithm": "snes", "population": 20},
    {"env": "MountainCar-v0", "algorithm": "cem", "max_episode_steps": 30, "population": 8},
    {"env": "MountainCarContinuous-v0", "algorithm": "cem", "max_episode_steps": 30, "population": 8}
    | {"backend": "native"},
    {"env": "CartPole-v1", "algorithm": "deepcem", "episodes": 10, "memory": 2},
    {"env": "Pendulum-v1", "algorithm": "deepcem", "episodes": 10, "max_episode_steps": 20},
    {"env": "Pendulum-v1", "algorithm": "reinforce", "episodes": 10, "max_episode_steps": 20, "backend": "native"},
]


def run(folder: Path, device: str, settings: dict[str, Any]) -> tuple[list[float], str]:
    """Weights and metrics, but for times."""
    result = tp.train(**SHORT | settings, device=device, log_dir=folder)
    weights = tp.ParamVector(result.policy.net)
    assert weights.device.type == device
    rows = [{name: value for name, value in row.items() if "time/" not in name} for row in result.metrics]
    return weights.read().tolist(), repr([*rows, result.evaluation.returns])


def all_on_both(folder: Path) -> list[list[tuple[list[float], str]]]:
    return [[run(folder, device, settings) for device in ("cpu", NAME)] for settings in RUNS]


def test_a_run_is_the_same_on_a_device_that_computes_alike(tmp_path: Path) -> None:
    for settings, (here, there) in zip(RUNS, in_process_with_device(all_on_both, tmp_path), strict=True):
        assert here == there, settings


def simulators_on_both(folder: Path) -> list[list[tuple[list[float], str]]]:
    search = {"algorithm": "cem", "population": 8, "normalize_observations": True}
    learner = {"algorithm": "deepcem", "episodes": 10}
    return [
        [run(folder, device, each | {"env": partial(Tensors, Count, 5, mode, device)}) for device in ("cpu", NAME)]
        for mode, each in zip(MODES, (search, learner, search), strict=True)
    ]


def test_a_simulator_there_has_the_same_episodes(tmp_path: Path) -> None:
    for here, there in in_process_with_device(simulators_on_both, tmp_path):
        assert here == there


def stop_and_go_on(folder: Path) -> list[tuple[list[float], str]]:
    settings = {"env": "CartPole-v1", "algorithm": "nes", "policy_args": {"hidden": (9, 9)}, "noise_rank": 1}
    whole = run(folder, NAME, settings)
    first = tp.train(**SHORT | settings | {"generations": 2}, device=NAME, run_dir=folder / "parts")
    again = tp.resume(first.run_dir, generations=3)
    return [whole, (tp.ParamVector(again.policy.net).read().tolist(), repr(again.evaluation.returns))]


def test_it_goes_on_there_from_a_checkpoint(tmp_path: Path) -> None:
    (weights, metrics), (resumed, returns) = in_process_with_device(stop_and_go_on, tmp_path)
    assert weights == resumed
    assert returns[:-1] in metrics


def policy() -> tp.LinearPolicy:
    return tp.LinearPolicy(*make_environment("CartPole-v1").spaces)


def use_the_policy(folder: Path) -> Any:
    """What a policy that is there does: scores, an action, its export, its files."""
    result = tp.train("CartPole-v1", "cem", device=NAME, run_dir=folder / "run", **SMALL)
    observation = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    own = result.policy
    loaded = tp.load(result.run_dir)
    return {
        "scores": [result.evaluate(5, 3).mean, tp.evaluate(loaded, "CartPole-v1", episodes=5, seed=3).mean],
        "actions": [int(own.act(observation)), int(loaded.act(observation))],
        "devices": [own.device.type, loaded.device.type],
        "device": tp.read_settings(result.run_dir / "config.json")["device"],
    }


def test_its_policy_is_used_there_and_loaded_on_the_cpu(tmp_path: Path) -> None:
    found = in_process_with_device(use_the_policy, tmp_path)
    assert found["scores"][0] == found["scores"][1]
    assert found["actions"][0] == found["actions"][1]
    assert found["devices"] == [NAME, "cpu"]
    assert found["device"] == NAME


def parts_of_a_policy(folder: Path) -> list[str]:
    """Where everything is of a policy around a module that is there, and what a search takes scores from."""
    spaces = make_environment("Pendulum-v1").spaces
    around = tp.Policy(nn.Linear(3, 1).to(NAME), *spaces)
    around.act(np.zeros(3, np.float32))
    tp.REINFORCE(around)
    for kind in (tp.CEM, tp.ARS, tp.NES, tp.SNES, tp.PGPE):
        search: tp.Search = kind(torch.zeros(5).to(NAME), population=8)
        candidates = search.ask()
        assert isinstance(candidates, torch.Tensor)
        search.tell(candidates, (candidates - 3).square().sum(1))
    return [str(tensor.device) for tensor in (*around.parameters(), *around.buffers(), search.center)]


def test_a_policy_is_where_its_module_is_and_scores_may_be_there(tmp_path: Path) -> None:
    assert set(in_process_with_device(parts_of_a_policy, tmp_path)) == {f"{NAME}:0"}


def refusals(folder: Path) -> list[str]:
    env = "CartPole-v1"
    there = policy().to(NAME)
    search = tp.CEM(torch.zeros(10))
    told = []
    learner = tp.DeepCEM(policy())
    for arguments in (
        {"device": f"{NAME}:3"},
        {"device": NAME, "workers": 2},
        {"device": "cpu", "policy": there},
        {"device": NAME, "algorithm": search, "policy": nn.Linear(4, 2)},
        {"device": NAME, "algorithm": learner},
    ):
        with pytest.raises(ValueError, match=r"\w") as caught:
            tp.train(**{"env": env, "algorithm": "cem"} | SMALL | arguments, log_dir=folder)
        told.append(str(caught.value))
    assert learner.policy.device.type == "cpu"  # not moved before it was refused
    assert not list(folder.iterdir())
    return told


def test_what_cannot_be_is_told_in_a_line(tmp_path: Path) -> None:
    number, workers, policy, search, learner = in_process_with_device(refusals, tmp_path)
    assert f"'{NAME}:3' is not here" in number
    assert "start them with torchrun" in workers
    assert f"the policy is on {NAME}:0, the run on cpu: say device='{NAME}:0'" in policy
    assert f"the algorithm is on cpu, the run on {NAME}:0" in search
    assert search == learner


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_a_gpu_nothing_runs_elsewhere_instead(device: str) -> None:
    with pytest.raises(ValueError, match=f"device '{device}' is not here: torch .* finds 0 of its kind"):
        tp.train("CartPole-v1", "cem", device=device)


class Greedy(tp.NES):
    """Wants more than there is, the second time."""

    def _sample(self) -> Any:
        if self.generation == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has ...")
        return super()._sample()


def test_what_does_not_fit_is_told_in_a_line_and_nothing_is_lost(tmp_path: Path) -> None:
    search = Greedy(tp.ParamVector(policy().net).read(), population=4)
    with pytest.raises(
        tp.RunError, match=r"^CUDA out of memory. Tried to allocate 9.00 GiB: take a smaller population"
    ):
        tp.train("CartPole-v1", search, run_dir=tmp_path / "run", eval_episodes=2)
    assert [path.name[:13] for path in (tmp_path / "run" / "checkpoints").iterdir()].count("ckpt-00000001") == 1


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@cuda
@pytest.mark.parametrize("settings", RUNS)
def test_on_a_gpu_it_is_the_same_twice(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert run(tmp_path / "one", "cuda", settings) == run(tmp_path / "two", "cuda", settings)


@cuda
def test_on_a_gpu_it_does_not_matter_which_slot_plays_what() -> None:
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))
    spaces = make_environment("CartPole-v1").spaces
    found = tp.Policy(net, *spaces).to("cuda")
    search = tp.NES(tp.ParamVector(found.net).read(), population=256, std=0.3)
    candidates = search.ask()
    assert isinstance(candidates, torch.Tensor)
    returns = []
    for slots in (32, 256):
        with make_rollout(make_environment("CartPole-v1"), found, slots=slots) as rollout:
            returns += [rollout.play(candidates, [1]).returns, rollout.play(candidates.flip(0), [1]).returns[::-1]]
    assert all(np.array_equal(returns[0], other) for other in returns)


@cuda
@pytest.mark.parametrize("compiled", [False, True])
def test_cartpole_is_solved_on_a_gpu(tmp_path: Path, compiled: bool) -> None:
    result = tp.train("CartPole-v1", "cem", device="cuda", compile=compiled, log_dir=tmp_path)
    assert result.evaluation.mean >= 475


@cuda
@pytest.mark.parametrize("mode", MODES)
def test_a_simulator_on_a_gpu_gives_every_candidate_its_own_return(mode: AutoresetMode) -> None:
    vectors, returns = torch.randn(64, 24), []
    for device in ("cpu", "cuda"):
        environment = make_environment(partial(Tensors, Count, 8, mode, device))
        with make_rollout(environment, tp.LinearPolicy(*environment.spaces).to(device)) as rollout:
            returns.append(rollout.play(vectors, [1, 2]).returns)
    assert (returns[0] == returns[1]).mean() > 0.95  # but where a last bit tips the scales


@cuda
def test_steps_on_a_gpu_are_those_on_the_cpu() -> None:
    vectors, lengths = torch.randn(64, tp.ParamVector(policy().net).dim), []
    for device in ("cpu", "cuda"):
        with make_rollout(make_environment("CartPole-v1"), policy().to(device)) as rollout:
            lengths.append(rollout.play(vectors, [1, 2]).lengths)
    assert (lengths[0] == lengths[1]).mean() > 0.95  # but where a last bit tips the scales
