"""What every writer keeps to; a new file in ``torchpolicy/writers`` is tested here by itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import torchpolicy as tp
from torchpolicy.base.discovery import entry, names
from torchpolicy.output.writers.base import Writer
from torchpolicy.output.writers.console import in_short
from torchpolicy.output.writers.tensorboard import thinned

ROWS = [
    {"generation": 1.0, "rollout/env_steps": 100.0, "time/fps": 5.0, "rollout/ep_rew_mean": 2.5},
    {"generation": 2.0, "rollout/env_steps": 250.0, "time/fps": 5.0, "eval/mean_reward": float("nan")},
]


def make(name: str, folder: Path) -> Writer:
    return entry("output.writers", name, Writer)(folder)  # type: ignore[type-abstract]


@pytest.mark.parametrize("name", names("output.writers"))
def test_writes_notes_and_closes(name: str, tmp_path: Path) -> None:
    writer = make(name, tmp_path)
    for progress, row in enumerate(ROWS):
        writer.write(row, progress / 2)
    writer.note("hello")
    writer.close()


def test_metrics_are_one_json_object_a_line(tmp_path: Path) -> None:
    writer = make("jsonl", tmp_path)
    for row in ROWS:
        writer.write(row, 0.5)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [ROWS[0], ROWS[1] | {"eval/mean_reward": None}]
    writer.close()


def test_tensorboard_shows_scalars_over_environment_steps(tmp_path: Path) -> None:
    writer = make("tensorboard", tmp_path)
    for row in ROWS:
        writer.write(row, 0.5)
    writer.close()
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in board.Scalars("generation")] == [(100, 1), (250, 2)]
    assert board.Scalars("rollout/ep_rew_mean")[0].value == 2.5
    assert "eval/mean_reward" not in board.Tags()["scalars"]  # NaN, which it would draw as a point at 0


def test_tensorboard_says_why_a_run_ended_and_what_was_noted(tmp_path: Path) -> None:
    settings = {"target": 20.0, "policy": "mlp", "policy_args": {"hidden": (8,)}, "preset": False, "run_dir": tmp_path}
    result = tp.train("CartPole-v1", "cem", generations=60, **settings)
    board = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    (text,) = board.Tensors("end/text_summary")
    said = text.tensor_proto.string_val[0].decode()
    last = result.metrics[-1]
    assert text.step == last["rollout/env_steps"]
    assert said.startswith(f"The run ended after {last['generation']:.0f} generations, {text.step:,} env steps and ")
    assert "s of training, because its target is reached. " in said
    assert f"scores {result.evaluation.mean:.5g} on test episodes" in said
    (tmp_path / "noted").mkdir()
    writer = make("tensorboard", tmp_path / "noted")
    writer.note("a preset")
    writer.write(ROWS[0], 0.5)
    writer.note("it stands still")
    ended = dict.fromkeys(("test/mean_reward", "test/ci_low", "test/ci_high", "generation", "time/elapsed"), 1.0)
    writer.end(ended, "its budget is used up")
    writer.close()
    board = EventAccumulator(str(tmp_path / "noted"), {"tensors": 0}).Reload()
    notes = [(each.step, each.tensor_proto.string_val[0]) for each in board.Tensors("notes/text_summary")]
    assert notes == [(0, b"a preset"), (100, b"it stands still")]
    told = board.Tensors("end/text_summary")[0].tensor_proto.string_val[0].decode()
    assert told.endswith("\n* at 0 env steps: a preset\n* at 100 env steps: it stands still")


def test_tensorboard_shows_what_was_run_and_how_numbers_are_spread(tmp_path: Path) -> None:
    result = tp.train("CartPole-v1", "cem", generations=3, target=None, eval_episodes=5, eval_every=2, run_dir=tmp_path)
    again = tp.resume(result.run_dir, generations=5)
    board = EventAccumulator(str(tmp_path), {"histograms": 0, "tensors": 0}).Reload()
    assert [event.value for event in board.Scalars("generation")] == [1, 2, 3, 4, 5]
    assert len(board.Histograms("rollout/returns")) == 4  # in the first and last generation of each session
    assert {"weights/weight", "weights/bias", "weights_std/weight", "weights_std/bias"} < set(
        board.Tags()["histograms"]
    )
    assert board.Histograms("weights/weight")[0].histogram_value.num == 8
    (text,) = board.Tensors("settings/text_summary")
    assert b'"algorithm": "cem"' in text.tensor_proto.string_val[0]
    (network,) = board.Tensors("network/text_summary")
    assert b"| weight | 2 x 4 | 8 |" in network.tensor_proto.string_val[0]
    (layout,) = board.Tensors("custom_scalars__config__")
    search, seconds = Layout.FromString(layout.tensor_proto.string_val[0]).category
    assert (search.title, seconds.title) == ("search", "time")
    band = search.chart[0].margin.series
    assert [each.value for each in band] == ["rollout/ep_rew_mean", "eval/mean_reward", "test/mean_reward"]
    tags = [tag for each in band for tag in (each.value, each.lower, each.upper)]
    tags += [tag for category in (search, seconds) for chart in category.chart for tag in chart.multiline.tag]
    for tag in tags:
        assert any(re.fullmatch(tag, name) for name in board.Tags()["scalars"]), tag
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} < board.summary_metadata.keys()
    content = board.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = HParamsPluginData.FromString(content).experiment
    columns = [each.name.tag for each in experiment.metric_infos]
    assert columns[:3] == ["test/mean_reward", "time/elapsed", "end/target_reached"]
    assert {"search/std_mean", "search/learning_rate"} < set(columns)
    assert board.Scalars("end/target_reached")[0].value == 0.0
    assert [event.value for event in board.Scalars("rollout/env_steps")] == [
        row["rollout/env_steps"] for row in (result.metrics[-1], again.metrics[-1])
    ]
    assert board.Scalars("test/mean_reward")[0].value == pytest.approx(result.evaluation.mean)
    assert board.Scalars("test/mean_reward")[-1].step == board.Scalars("generation")[-1].step


def test_a_generation_takes_less_than_a_kilobyte_of_tensorboard(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "policy": "mlp",
        "policy_args": {"hidden": (64, 64)},
        "normalize_observations": True,
        "episodes": "auto",
    }
    tp.train("CartPole-v1", "snes", generations=12, eval_every=4, target=None, run_dir=tmp_path, **settings)
    (file,) = tmp_path.glob("events.out.*")
    events = [(len(raw), Event.FromString(raw).summary.value) for raw in RawEventFileLoader(str(file)).Load()]
    sizes = [size + 16 for size, values in events if any(value.tag == "generation" for value in values)]
    assert len(sizes) == 12
    assert sum(sizes) / 12 < 960


def test_numbers_of_a_line_are_short() -> None:
    counts = (0, 950, 9_500, 95_020, 1_946_466, 12_000_000, 94e6, 2.5e9)
    assert [in_short(count) for count in counts] == ["0", "950", "9,500", "95.0k", "1.95M", "12.0M", "94.0M", "2.50G"]


def test_histograms_are_few_of_many_numbers_and_all_of_few() -> None:
    assert len(thinned(torch.zeros(1_000_003))) < 11_000
    assert thinned(torch.tensor([[1.0, torch.nan], [torch.inf, 2.0]])).tolist() == [1.0, 2.0]


def test_console_speaks_plainly_where_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = make("console", tmp_path)
    writer.write(ROWS[0] | {"search/center_score": 12.0}, 0.1)
    writer.write(ROWS[1], 0.2)
    writer.note("mind the gap")
    writer.write(ROWS[1], 1.0)
    writer.close()
    out, err = capsys.readouterr()
    assert not out
    assert err.splitlines() == [
        "generation 1 | center 12 | 100 steps | 5 steps/s",
        "mind the gap",
        "generation 2 | center 12 | held-out nan | 250 steps | 5 steps/s",
    ]


def test_console_tells_the_return_of_a_learners_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = make("console", tmp_path)
    writer.write(ROWS[0] | {"learn/stalled": 0.0}, 1.0)
    writer.close()
    assert capsys.readouterr().err.splitlines() == ["generation 1 | return 2.5 | 100 steps | 5 steps/s"]


@pytest.mark.parametrize(("algorithm", "own", "other"), [("snes", "search", "learn"), ("reinforce", "learn", "search")])
def test_charts_and_files_are_those_of_the_algorithm_and_small(
    algorithm: str, own: str, other: str, tmp_path: Path
) -> None:
    settings = {"target": None, "preset": False, "policy": "linear", "eval_episodes": 4, "run_dir": tmp_path}
    tp.train("FrozenLake-v1", algorithm, generations=60, **settings)  # cannot be drawn in a few bytes: text
    board = EventAccumulator(str(tmp_path), {"tensors": 0}).Reload()
    (layout,) = board.Tensors("custom_scalars__config__")
    titles = [each.title for each in Layout.FromString(layout.tensor_proto.string_val[0]).category]
    assert titles == [own, "time"]
    tags = board.Tags()["scalars"]
    assert any(tag.startswith(f"{own}/") for tag in tags)
    assert not any(tag.startswith(f"{other}/") for tag in tags)
    for tag in tags:
        if tag.startswith("test/"):
            assert board.Scalars(tag)[-1].step == board.Scalars("generation")[-1].step
