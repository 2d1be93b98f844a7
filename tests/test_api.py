import json
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import Space
from torch import Tensor, nn
from worlds import Broken, Copy, Endless, Guess, GuessFrom5, Wordy

import torchpolicy as tp
from torchpolicy import RunError


def rows(run_dir: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]


def weights(result: tp.Result) -> Tensor:
    return tp.ParamVector(result.policy.net).read()


def without_time(metrics: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in metrics]


def quick(env: Any = Guess, **arguments: Any) -> tp.Result:
    return tp.train(env, "cem", **{"generations": 3, "population": 8, "eval_episodes": 4, **arguments})


@pytest.mark.usefixtures("_own_test")
def test_a_policy_is_handed_from_algorithm_to_algorithm_and_back() -> None:
    """The score at each hand-over is the score before it: the same module, the same episodes."""
    arguments: dict[str, Any] = {"generations": 2, "eval_episodes": 10, "episodes": 5}
    result = tp.train("CartPole-v1", "cem", policy_args={"hidden": (8,)}, **arguments)
    policy = result.policy
    for algorithm in ("deepcem", "reinforce", "nes", "deepcem"):
        before = tp.evaluate(policy, "CartPole-v1", episodes=10, seed=0).returns.tolist()
        assert before == result.evaluation.returns.tolist()
        result = tp.train("CartPole-v1", algorithm, policy=policy, **arguments)
        assert result.policy is policy


def test_a_learner_object_trains_its_own_policy() -> None:
    env = gymnasium.make("CartPole-v1")
    learners = [tp.REINFORCE(tp.MLPPolicy(env.observation_space, env.action_space, hidden=(8,))) for _ in range(2)]
    for learner, workers in zip(learners, (1, 2), strict=True):
        result = tp.train("CartPole-v1", learner, generations=3, eval_episodes=3, workers=workers)
        assert result.policy is learner.policy
        assert learner.generation == 3
    assert torch.equal(learners[0].center, learners[1].center)
    with pytest.raises(ValueError, match="the learner improves another policy"):
        tp.train("CartPole-v1", learners[0], policy="linear")


def test_what_is_for_searches_alone_is_refused_for_learners() -> None:
    with pytest.raises(ValueError, match="REINFORCE has no candidates"):
        tp.train("CartPole-v1", "reinforce", reevaluate=2)
    with pytest.raises(ValueError, match="unknown argument 'percentil' for DeepCEM; did you mean 'percentile'"):
        tp.train("CartPole-v1", "deepcem", percentil=2)


def test_normalisation_is_not_dropped_on_the_way() -> None:
    result = tp.train("CartPole-v1", "cem", normalize_observations=True, generations=1, eval_episodes=2)
    with pytest.raises(ValueError, match="normalize_observations is False, and the policy normalises"):
        tp.train("CartPole-v1", "nes", policy=result.policy, normalize_observations=False)


def test_run_folder_holds_what_it_should() -> None:
    result = quick("CartPole-v1", seed=4)
    assert result.run_dir.parent == Path("runs/CartPole-v1")
    assert result.run_dir.name.startswith("cem-s4-")
    found = sorted(path.name.split(".")[0] for path in result.run_dir.iterdir())
    assert found == ["", "checkpoints", "config", "events", "metrics", "policy"]
    assert sorted(path.name for path in (result.run_dir / "policy").iterdir()) == ["policy.json", "weights.safetensors"]
    config = json.loads((result.run_dir / "config.json").read_text())
    assert config["env"] == "CartPole-v1"
    assert config["algorithm"] == "cem"
    assert config["hyperparameters"]["population"] == 8
    assert config["seed"] == 4
    assert (config["slots"], config["backend"], config["compile"]) == (32, "native", False)
    assert rows(result.run_dir) == result.metrics
    assert [row["generation"] for row in result.metrics] == [1, 2, 3]
    steps = [row["rollout/env_steps"] for row in result.metrics]
    assert steps == sorted(steps)


METRICS = {
    *("generation", "rollout/env_steps", "rollout/episodes", "rollout/ep_rew_mean", "rollout/ep_rew_max"),
    *("rollout/ep_rew_min", "rollout/ep_rew_std", "rollout/ep_len_mean", "search/center_score", "search/center_rank"),
    *(
        "search/elite_size",
        "search/std_mean",
        "search/std_floor",
        "search/step_norm",
        "search/stalled",
        "search/failed",
    ),
    *("rollout/truncated", "search/signal", "search/ties", "search/noise_norm", "search/weights_norm"),
    *("std/weight", "std/bias"),
    *("time/slot_utilisation", "time/fps", "time/ask_s", "time/rollout_s", "time/env_s", "time/policy_s"),
    *("time/update_s", "time/write_s", "time/elapsed"),
    *("eval/mean_reward", "eval/ci_low", "eval/ci_high"),
}


@pytest.mark.parametrize(("backend", "parts"), [("gymnasium", ("env", "policy")), ("native", ("step",))])
def test_the_parts_of_a_rollout_take_most_of_it(backend: str, parts: tuple[str, ...]) -> None:
    for row in quick("CartPole-v1", backend=backend, population=32).metrics:
        seconds = sum(row[f"time/{part}_s"] for part in parts)
        assert 0.4 * row["time/rollout_s"] < seconds < row["time/rollout_s"]


def test_metric_keys() -> None:
    keys = [set(row) for row in quick(generations=5, eval_every=5).metrics]
    assert keys[4] == METRICS
    assert keys[0] == {key for key in METRICS if not key.startswith("eval/")}
    assert keys[1] == {key for key in keys[0] if not key.startswith("search/center")}


def test_same_seed_same_bits_and_metrics() -> None:
    first, second, other = quick(seed=1), quick(seed=1), quick(seed=2)
    assert torch.equal(weights(first), weights(second))
    assert without_time(first.metrics) == without_time(second.metrics)
    np.testing.assert_array_equal(first.evaluation.returns, second.evaluation.returns)
    assert not torch.equal(weights(first), weights(other))


def test_global_random_generators_are_neither_read_nor_set() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    first = quick("CartPole-v1", policy="mlp")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # type: ignore[index]
    torch.manual_seed(6)
    assert torch.equal(weights(quick("CartPole-v1", policy="mlp")), weights(first))


@pytest.mark.usefixtures("_own_test")
def test_saved_policy_and_evaluation_agree() -> None:
    result = quick(seed=3, eval_episodes=20)
    policy = tp.load(result.run_dir)
    assert torch.equal(tp.ParamVector(policy.net).read(), weights(result))
    again = tp.evaluate(policy, Guess, episodes=20, seed=3)
    np.testing.assert_array_equal(again.returns, result.evaluation.returns)
    assert tp.evaluate(policy, Guess, episodes=20, seed=4).returns.tolist() != again.returns.tolist()


def test_a_run_starts_from_the_modules_own_weights() -> None:
    module = nn.Linear(3, 3)
    search = tp.CEM(tp.ParamVector(module).read(), population=4)
    start = search.center.clone()
    result = tp.train(Guess, search, policy=module, generations=1, eval_episodes=2)
    assert result.policy.net is module
    assert torch.equal(weights(result), search.center)
    assert not torch.equal(search.center, start)


class Tied(nn.Module):
    """Two layers with one weight, behind a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        nn.init.eye_(self.frozen.weight)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(self.frozen(x)))) + self.first(x)


@pytest.mark.usefixtures("_own_test")
def test_a_module_with_tied_and_frozen_weights_learns_and_loads() -> None:
    torch.manual_seed(0)
    module = Tied()
    frozen = module.frozen.bias.clone()
    result = tp.train(Guess, "cem", policy=module, generations=20, seed=0)
    assert torch.equal(module.frozen.bias, frozen)
    assert module.second.weight is module.first.weight
    assert result.evaluation.mean > result.metrics[0]["rollout/ep_rew_mean"] + 3
    loaded = tp.load(result.run_dir, module=Tied())
    np.testing.assert_array_equal(tp.evaluate(loaded, Guess, seed=0).returns, result.evaluation.returns)
    with pytest.raises(ValueError, match=r"a module of your own: .*--policy pkg.mod:factory .*policy=YourModule\(\)"):
        tp.load(result.run_dir)
    with pytest.raises(tp.CheckpointError, match=r"does not fit the policy: net.bias is missing; net.calls is unknown"):
        tp.load(result.run_dir, policy=nn.Linear(3, 3))


def test_policy_may_be_a_name_a_factory_a_policy() -> None:
    def factory(observation_space: Space[Any], action_space: Space[Any]) -> nn.Module:
        return nn.Linear(3, 3, bias=False)

    assert weights(quick(policy="mlp", policy_args={"hidden": (5,), "activation": "relu"})).shape == (38,)
    assert weights(quick(policy_args={"hidden": ()})).shape == (12,)
    assert weights(quick(policy=factory)).shape == (9,)
    policy = tp.LinearPolicy(Guess.observation_space, Guess.action_space)
    assert quick(policy=policy).policy is policy


def test_stops_at_the_target_and_not_before() -> None:
    result = tp.train("CartPole-v1", "cem", seed=0, target=150)
    assert result.metrics[-1]["eval/ci_low"] >= 150
    assert all(row.get("eval/ci_low", 0) < 150 for row in result.metrics[:-1])
    unreachable = quick("CartPole-v1", target=501)
    assert len(unreachable.metrics) == 3


def test_budgets() -> None:
    assert len(quick(generations=2).metrics) == 2
    steps = [row["rollout/env_steps"] for row in quick(generations=None, total_steps=250).metrics]
    assert steps == [90, 170, 250]
    assert quick(generations=None, seconds=0.3).metrics[-1]["time/elapsed"] > 0.2
    assert len(quick("CartPole-v1", generations=2, total_steps=10**9, seconds=1000).metrics) == 2


def test_a_budget_turns_auto_into_no_target() -> None:
    config = json.loads((quick("CartPole-v1").run_dir / "config.json").read_text())
    assert config["target"] is None
    assert config["total_steps"] is None


def test_episodes_average_the_score() -> None:
    result = quick(episodes=3)
    assert result.metrics[0]["rollout/episodes"] == 27


def test_two_runs_in_one_second_get_two_folders() -> None:
    folders = {quick(generations=1).run_dir for _ in range(3)}
    assert len(folders) == 3


def test_run_dir_of_ones_own() -> None:
    assert quick(run_dir="here/run").run_dir == Path("here/run")
    with pytest.raises(ValueError, match="run_dir here is neither empty nor a run: name a new one"):
        quick(run_dir="here")


def test_an_environment_that_fails_mostly_stops_the_run_and_says_why() -> None:
    with pytest.raises(
        RunError, match=r"(?s)candidates failed in Broken, the second generation running.*OddError: left"
    ):
        quick(Broken, env_args={"how": "raise"}, policy_args={"bias": False})


def test_an_environment_that_fails_sometimes_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    class Rarely(Guess):
        def step(self, action: int) -> Any:
            if self._steps == 5 and action == 1:
                raise RuntimeError("numbers too large")
            return super().step(action)

    result = quick(Rarely, population=32, episodes=2, seed=2)
    assert sum(row["search/failed"] for row in result.metrics) > 0
    assert weights(result).isfinite().all()
    err = capsys.readouterr().err
    assert "failed: candidate" in err
    assert "numbers too large" in err


def test_equal_returns_are_reported_and_move_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    result = quick(Endless, max_episode_steps=5, generations=12)
    assert all(row["search/stalled"] for row in result.metrics)
    assert "for 10 generations all episodes have run to the time limit" in capsys.readouterr().err
    start = tp.LinearPolicy(Endless.observation_space, Endless.action_space)
    assert torch.equal(weights(result), tp.ParamVector(start.net).read())


def test_a_missing_time_limit_is_said_once_an_episode_is_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(Guess, generations=1)
    assert "time limit" not in capsys.readouterr().err
    monkeypatch.setattr("torchpolicy.training.watch.LONG_STEPS", 300)
    monkeypatch.setattr("torchpolicy.training.watch.RUNAWAY_STEPS", 500)
    monkeypatch.setattr("torchpolicy.envs.gym.RUNAWAY_STEPS", 400)
    quick(Endless, generations=2, population=2)
    err = capsys.readouterr().err
    assert err.count("an episode of Endless took 400 steps, and no time limit is known") == 1
    assert "cut off after 500 steps, as" not in err
    monkeypatch.setattr("torchpolicy.envs.gym.RUNAWAY_STEPS", 500)
    result = quick(Endless, generations=2, population=2)
    assert capsys.readouterr().err.count("an episode of Endless was cut off after 500 steps, as at a time limit") == 1
    assert result.evaluation.mean == 500


def test_a_box_of_float64_and_a_scalar_observation_learn() -> None:
    result = tp.train(Copy, "cem", generations=30, seed=0)
    assert result.evaluation.mean > result.metrics[0]["rollout/ep_rew_mean"] / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "CartPol-v1"}, "Did you mean: `CartPole`"),
        ({"algorithm": "cme"}, "unknown algorithm 'cme'; did you mean 'cem'"),
        ({"popsize": 5}, r"unknown argument 'popsize' for CEM.*its hyperparameters are population"),
        ({"popultion": 5}, "did you mean 'population'"),
        ({"elite_fraction": 0}, "elite_fraction must be a number in"),
        ({"population": 1}, "population must be an integer >= 2, got 1"),
        ({"std": 0}, "std must be positive and finite, got 0"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
        ({"seed": True}, "seed must be an integer >= 0, got True"),
        ({"env": Broken, "env_args": {"at_reset": True}}, "Broken: reset gave an observation that is not finite"),
        ({"env": Wordy}, "observation space Text.* is not supported"),
        ({"policy": nn.Linear(5, 2)}, r"Linear does not take .* observations of shape \(4,\)"),
        ({"policy": nn.Linear(4, 3)}, r"output of shape \(1, 2\) for Discrete\(2\), got \(1, 3\)"),
        ({"policy": "lstm"}, "unknown policy 'lstm'"),
        ({"policy": "mlp", "policy_args": {"widths": (3,)}}, "unknown argument 'widths' for policy 'mlp'"),
        ({"policy": 3}, "policy must be a Policy, a name or a callable"),
        ({"policy": nn.Linear(4, 2), "policy_args": {"hidden": ()}}, "policy_args go with a policy chosen by name"),
        ({"log_dir": "/dev/null/runs"}, "cannot make the run folder /dev/null"),
        ({"generations": 0}, "generations must be an integer >= 1, got 0"),
        ({"seconds": 0}, "seconds must be a number in"),
        ({"episodes": 0}, "episodes must be an integer >= 1, got 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be an integer >= 1, got 0"),
        ({"target": "high"}, "target must be 'auto', 'none' or a number, got 'high'"),
        ({"workers": 0}, "workers must be an integer >= 1, got 0"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds must be a number in"),
        ({"std_scale": 0.5, "std": 2.0}, "leave std out, or std_scale"),
        ({"std_scale": 0.0}, r"std_scale must be a number in \(0, inf\), got 0.0"),
        ({"device": "gpu"}, "device must be cpu, cuda or cuda:N, got 'gpu'"),
        ({"algorithm": tp.CEM(torch.zeros(3))}, "the search is over 3 numbers, the policy's net has 10"),
        ({"algorithm": tp.CEM(torch.zeros(10), maximize=False)}, "the search minimises"),
        ({"algorithm": tp.CEM(torch.zeros(10)), "std": 2.0}, "hyperparameters go with an algorithm chosen by name"),
    ],
)
def test_mistakes_are_said_in_a_line_and_leave_no_folder(arguments: dict[str, Any], message: str) -> None:
    env = arguments.pop("env", "CartPole-v1")
    algorithm = arguments.pop("algorithm", "cem")
    with pytest.raises(ValueError, match=message):
        tp.train(env, algorithm, **arguments)
    assert not Path("runs").exists()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-5]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: (path.parent / "policy.json").write_text("{"), "not JSON"),
        (lambda path: (path.parent / "policy.json").write_text("[]"), "expected a JSON object"),
        (
            lambda path: (path.parent / "policy.json").write_text('{"format_version": 9}'),
            r"was written by a newer torchpolicy, in format 9; this is .*, which reads format 1",
        ),
        (lambda path: (path.parent / "policy.json").write_text('{"format_version": 1}'), "observation_space"),
    ],
)
def test_damaged_policy_files_are_named(damage: Any, message: str) -> None:
    result = quick()
    damage(result.run_dir / "policy" / "weights.safetensors")
    with pytest.raises(tp.CheckpointError, match=message) as error:
        tp.load(result.run_dir)
    assert str(result.run_dir) in str(error.value)


def test_a_policy_with_nan_is_refused(tmp_path: Path) -> None:
    from torchpolicy.output.saved_policy import save_policy

    policy = tp.LinearPolicy(Guess.observation_space, Guess.action_space)
    with torch.no_grad():
        policy.net.bias[0] = torch.nan  # type: ignore[index, union-attr]
    save_policy(tmp_path, policy)
    with pytest.raises(tp.CheckpointError, match=r"net\.bias is not finite"):
        tp.load(tmp_path)


def test_nothing_warns_about_what_is_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick("CartPole-v1")


class Counting(nn.Module):
    """Remembers how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.inner(x)


class Branching(nn.Linear):
    """Decides by a value, which vmap cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.sum() > -1 else x


class Overriding(tp.LinearPolicy):
    """Does in the policy what belongs into the net."""

    def forward(self, observations: Tensor) -> Tensor:
        return -super().forward(observations)


def raising(observation_space: object, action_space: object) -> nn.Module:
    raise KeyError("width")


shared_env = Guess()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": Counting()}, "Counting writes its buffer 'calls' in forward"),
        ({"policy": Branching(3, 3)}, r"Branching cannot be evaluated for many weights at once \(torch.func.vmap\)"),
        ({"policy": nn.Linear(3, 3).half()}, "Linear is torch.float16: float32 and float64 networks are supported"),
        (
            {"policy": Overriding(Guess.observation_space, Guess.action_space)},
            "overrides forward.* put it into the net",
        ),
        ({"policy": raising}, "making the policy raising failed: KeyError: 'width'"),
        ({"env": lambda: shared_env}, "<lambda> should make a new environment at each call"),
        ({"algorithm": tp.CEM}, "algorithm must be a name, a search or a learner"),
        ({"algorithm": None}, "algorithm must be a name, a search or a learner, got None"),
        ({"target": 5, "eval_episodes": 1}, "eval_episodes must be at least 2 for a target"),
        ({"eval_every": 0}, "eval_every must be an integer >= 1, got 0"),
        ({"seconds": float("inf")}, "seconds must be a number in"),
        ({"target": True}, "target must be 'auto', 'none' or a number, got True"),
        ({"policy_args": {"hidden": 64}}, "hidden must be a sequence of integers >= 1, got 64"),
        ({"policy_args": {"hidden": (True,)}}, "hidden must be an integer >= 1, got True"),
        ({"env_args": "x"}, "env_args must be a dictionary, got 'x'"),
        ({"std": "wide"}, "std must be a number or a vector"),
    ],
)
def test_more_mistakes_are_said_before_anything_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.train(arguments.pop("env", Guess), arguments.pop("algorithm", "cem"), **arguments)
    assert not Path("runs").exists()


def test_a_policy_of_other_spaces_is_not_loaded_into() -> None:
    result = quick()
    with pytest.raises(tp.CheckpointError, match="not of the one given"):
        tp.load(result.run_dir, module=tp.LinearPolicy(GuessFrom5.observation_space, GuessFrom5.action_space))
    with pytest.raises(ValueError, match=r"policy must be a torchpolicy\.Policy"):
        tp.evaluate(nn.Linear(3, 3), Guess)  # type: ignore[arg-type]


def test_a_loaded_policy_is_in_eval_mode() -> None:
    assert not tp.load(quick().run_dir).training


def test_numpy_numbers_are_numbers() -> None:
    plain = quick(seed=3, population=8, generations=2)
    numpy = quick(seed=np.int64(3), population=np.int32(8), generations=np.int64(2), std=None)
    assert torch.equal(weights(plain), weights(numpy))


@pytest.mark.usefixtures("_own_test")
def test_what_a_command_does_is_a_call(tmp_path: Path) -> None:
    result = quick("CartPole-v1", seed=4, eval_episodes=5)
    again = result.evaluate(episodes=5, seed=4)
    assert (
        again.returns.tolist()
        == result.evaluation.returns.tolist()
        == tp.evaluate(result.policy, "CartPole-v1", 5, 4).returns.tolist()
    )
    assert result.record(tmp_path / "episode.gif").stat().st_size > 1000
    pytest.importorskip("matplotlib")
    assert result.plot(tmp_path / "run.png").stat().st_size > 5000
    own = quick()
    assert own.evaluate(episodes=3).mean == own.evaluate(episodes=3).mean
    with pytest.raises(ValueError, match=r'as "pkg\.mod:name"'):
        own.record()


def test_std_scale_is_of_each_layers_initial_scale() -> None:
    def first(**settings: Any) -> torch.Tensor:
        spread: list[torch.Tensor] = []

        class Look(tp.callbacks.Callback):
            def on_start(self, run: Any) -> None:
                spread.append(run.algorithm.std)

        common = {"policy_args": {"hidden": (8,)}, "callbacks": [Look()], "generations": 1, "eval_episodes": 2}
        tp.train("CartPole-v1", "cem", **common, **settings)
        return spread[0]

    torch.testing.assert_close(first(std_scale=0.25), first() / 4)
    assert len(first().unique()) == 2  # two layers
    torch.testing.assert_close(first(std=0.3), torch.full_like(first(), 0.3))


@pytest.mark.usefixtures("_own_test")
def test_a_run_with_noise_of_low_rank_is_scored_again_to_the_last_bit(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"policy_args": {"hidden": (64, 64)}, "noise_rank": 1, "generations": 2}
    result = tp.train(
        "Pendulum-v1", "nes", **settings, eval_episodes=70, seed=3, run_dir=tmp_path / "run", preset=False
    )
    assert result.evaluate(70, seed=3).returns.tolist() == result.evaluation.returns.tolist()
    own = tp.evaluate(tp.load(result.run_dir), "Pendulum-v1", 70, seed=3, noise_rank=1).returns
    assert own.tolist() == result.evaluation.returns.tolist()
