"""What a run leaves in its folder, and what its metrics are called."""

import json
import warnings
from pathlib import Path

import pytest
from quick import quick, rows


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
    *("rollout/ep_rew_min", "rollout/ep_rew_std", "rollout/ep_rew_p25", "rollout/ep_rew_p50", "rollout/ep_rew_p75"),
    *("rollout/ep_len_mean", "search/center_score", "search/center_rank"),
    *(
        "search/elite_size",
        "search/std_mean",
        "search/std_floor",
        "search/step_norm",
        "search/stalled",
        "search/failed",
    ),
    *(
        "rollout/truncated",
        "search/signal",
        "search/ties",
        "search/noise_norm",
        "search/step_over_noise",
        "search/weights_norm",
    ),
    *("std/weight", "std/bias"),
    *("time/slot_utilisation", "time/fps", "time/ask_s", "time/rollout_s", "time/env_s", "time/policy_s"),
    *("time/update_s", "time/write_s", "time/elapsed"),
    *("eval/mean_reward", "eval/ci_low", "eval/ci_high", "time/eval_s"),
}


@pytest.mark.parametrize(("backend", "parts"), [("gymnasium", ("env", "policy")), ("native", ("step",))])
def test_the_parts_of_a_rollout_take_most_of_it(backend: str, parts: tuple[str, ...]) -> None:
    rows = quick("CartPole-v1", backend=backend, population=32, generations=10).metrics
    whole = sum(row["time/rollout_s"] for row in rows)
    assert 0.4 * whole < sum(row[f"time/{part}_s"] for part in parts for row in rows) < whole


def test_metric_keys() -> None:
    keys = [set(row) for row in quick(generations=5, eval_every=5).metrics]
    assert keys[4] == METRICS
    assert keys[0] == {key for key in METRICS if "eval" not in key}
    assert keys[1] == {key for key in keys[0] if not key.startswith("search/center")}


def test_two_runs_in_one_second_get_two_folders() -> None:
    folders = {quick(generations=1).run_dir for _ in range(3)}
    assert len(folders) == 3


def test_run_dir_of_ones_own() -> None:
    assert quick(run_dir="here/run").run_dir == Path("here/run")
    with pytest.raises(ValueError, match="run_dir here is neither empty nor a run: name a new one"):
        quick(run_dir="here")


def test_a_budget_turns_auto_into_no_target() -> None:
    config = json.loads((quick("CartPole-v1").run_dir / "config.json").read_text())
    assert config["target"] is None
    assert config["total_steps"] is None


def test_nothing_warns_about_what_is_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick("CartPole-v1")
