"""Writing a run for TensorBoard: scalars over environment steps, charts, histograms, pictures and the configuration."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from math import inf, prod
from pathlib import Path
from typing import Any

from torch import Tensor

from torchpolicy.output.config import CONFIG, read_config
from torchpolicy.output.writers.base import (
    CLOSING,
    GLANCED,
    HELD_OUT,
    ON_TARGET,
    TESTED,
    Distributions,
    Writer,
    no_distributions,
)

FLUSH_SECONDS = 2
"""The longest time until a viewer sees what was written."""

HISTOGRAM_SECONDS = 10.0
"""The shortest time between two histograms, because one costs more than all scalars of a generation."""

HISTOGRAM_VALUES = 10_000
"""A histogram of a larger tensor is made from this many of its entries, evenly spaced."""

HISTOGRAM_END = 9e19
"""TensorBoard's bins end slightly above this number. Larger numbers are counted in the last bin."""

POPULATION = ("rollout/ep_rew_mean", "rollout/ep_rew_min", "rollout/ep_rew_max")
"""Returns of a generation: the line and the two ends of its band."""

CHARTS: dict[str, dict[str, list[str] | list[tuple[str, str, str]]]] = {
    "search": {
        "returns: all of the population, the center on held-out episodes, and the final test": [
            POPULATION,
            HELD_OUT,
            TESTED,
        ],
        "rank of the center in its population": ["search/center_rank"],
        "step of the center, in units of the noise around it": ["search/step_over_noise"],
        "std by tensor": ["std/.+"],
        "signal to noise (1 is chance)": ["search/signal"],
        "share of episodes that end at the time limit, or are stopped early": ["rollout/(truncated|stopped)"],
        "share of candidates with tied scores": ["search/ties"],
    },
    "learn": {
        "returns: all of the batch, the policy on held-out episodes, and the final test": [
            POPULATION,
            HELD_OUT,
            TESTED,
        ],
        "returns of all and of the elite, and what its episodes exceed": [
            "rollout/ep_rew_mean",
            "learn/(elite_return|threshold)",
        ],
        "loss": ["learn/loss"],
        "entropy": ["learn/entropy"],
        "share of episodes at the time limit": ["rollout/truncated"],
    },
    "time": {"where the seconds of a generation go": ["time/.+_s"]},
}
"""Charts for TensorBoard's page "custom scalars". The outer key is the group of metrics that a run must have, such as
``search``; the inner key is the chart's title. A chart shows curves, given by their tags, or bands, each given by the
tags of its line and its two ends."""

NEEDED = ("env", "algorithm", "seed", "episodes", "normalize_observations", "policy", "net", "hyperparameters")
"""Fields of a run's configuration that are shown."""

PLACE = ("rollout/env_steps", "time/elapsed")
"""How far a run is. The viewer has both beside every number, as its step and its time, so they are written once, when a
session ends, for the page "hparams"."""

LEFT_OUT = (CLOSING, *GLANCED, "rollout/ep_rew_p25", "rollout/ep_rew_p50", "rollout/ep_rew_p75")
"""Metrics of a generation that get no chart of their own: glances stand in the curve of held-out scores, and the
quartiles in the histogram of the returns. All of them are in ``metrics.jsonl``."""

OUTCOMES = (
    "test/mean_reward",
    "time/elapsed",
    ON_TARGET,
    "rollout/env_steps",
    "eval/mean_reward",
    "search/std_mean",
    "search/learning_rate",
    "rollout/ep_rew_mean",
)
"""Metrics that TensorBoard's page "hparams" shows beside the hyperparameters, in this order, each as it was at the end.
It sorts the hyperparameters itself: those that differ between runs first, and then by name."""


NOTES_AT_THE_END = 8
"""Notes of a session, the last ones, that stand again beside the reason for its end: the viewer folds later texts."""


class TensorBoardWriter(Writer):
    """Writes one event file for each session of a run.

    A viewer sees what was written within two seconds, and shows the sessions of a run as one curve.
    """

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        probe = os.devnull if sys.platform == "win32" else run_dir
        os.close(os.open(probe, os.O_RDONLY))  # a limit that is reached shows here, and not in TensorBoard's thread
        purge_step = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(run_dir), purge_step=purge_step, flush_secs=FLUSH_SECONDS)
        self._file = Quiet.within(self._writer)
        self._next_histograms = -inf
        self._session_end: Any = None
        self._charted = resumed_at is not None
        self._written = resumed_at or 0
        self._place: dict[str, float] = {}
        self._notes: deque[str] = deque(maxlen=NOTES_AT_THE_END)
        if (run_dir / CONFIG).exists():
            self._introduce(read_config(run_dir, NEEDED))

    def write(
        self, metrics: dict[str, float], progress: float, distributions: Distributions = no_distributions
    ) -> None:
        if self._file is not None:
            self._file.complain()
        self._written = steps = int(metrics["rollout/env_steps"])
        if not self._charted:
            kinds = {key.partition("/")[0] for key in metrics}
            self._add(_layout([kind for kind in CHARTS if kind in kinds]))
            self._charted = True
        self._place = {key: metrics[key] for key in PLACE if key in metrics}
        self._add_scalars({key: value for key, value in metrics.items() if key not in PLACE}, steps)
        if time.monotonic() >= self._next_histograms or progress >= 1:
            for name, tensor in distributions().items():
                values = thinned(tensor)
                if len(values):
                    self._writer.add_histogram(name, values, steps)
            self._next_histograms = time.monotonic() + HISTOGRAM_SECONDS

    def picture(self, gif: bytes, env_steps: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        width, height = (int.from_bytes(gif[at : at + 2], "little") for at in (6, 8))
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
        self._add(Summary(value=[Summary.Value(tag="episode", image=image)]), env_steps)

    def note(self, text: str) -> None:
        self._notes.append(f"* at {self._written:,} env steps: {text.splitlines()[0] if text else text}")
        self._writer.add_text("notes", text, self._written)

    def end(self, metrics: dict[str, float], why: str) -> None:
        scored, steps = (
            {key: value for key, value in metrics.items() if key.startswith(("test/", "end/"))},
            self._written,
        )
        self._add_scalars(scored, steps)
        score, low, high = (f"{scored[name]:.5g}" for name in TESTED)
        self._writer.add_text(
            "end",
            f"The run ended after {metrics['generation']:,.0f} generations, {steps:,} env steps and "
            f"{metrics['time/elapsed']:,.1f} s of training, because {why}. The policy that it keeps scores {score} on "
            f"test episodes (95 % interval {low} to {high}).\n\n" + "\n".join(self._notes),
            steps,
        )

    def close(self) -> None:
        if self._place:
            self._add_scalars(self._place, self._written)
        if self._session_end is not None:
            self._add(self._session_end)
        self._writer.close()

    def _add_scalars(self, metrics: Mapping[str, float], steps: int) -> None:
        """Write all scalars in one event, which takes a tenth of the time."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        glance = {held_out: metrics[key] for held_out, key in zip(HELD_OUT, GLANCED, strict=True) if key in metrics}
        known = {key: value for key, value in {**glance, **metrics}.items() if value == value}
        known = {key: value for key, value in known.items() if key not in LEFT_OUT}
        values = [Summary.Value(tag=key, simple_value=value) for key, value in known.items()]  # NaN would be drawn at 0
        self._add(Summary(value=values), steps)

    def _add(self, summary: Any, steps: int | None = None) -> None:
        self._writer._get_file_writer().add_summary(summary, steps)  # type: ignore[no-untyped-call]

    def _introduce(self, config: Mapping[str, Any]) -> None:
        """Write the run's configuration, as text and as hyperparameters, into its event file."""
        from torch.utils.tensorboard.summary import hparams

        experiment, start, self._session_end = hparams(  # type: ignore[no-untyped-call]
            _flat(config), dict.fromkeys(OUTCOMES, 0.0)
        )
        for summary in (experiment, start):
            self._add(summary)
        if self.resumed_at is None:
            self._writer.add_text("settings", f"```json\n{json.dumps(config, indent=2)}\n```", 0)
            self._writer.add_text("network", _table_of(config["net"]), 0)


class Quiet:
    """Wraps the file that TensorBoard's own thread writes, and keeps an error for :meth:`complain`.

    In that thread, an error would be printed with its traceback, and nothing more would ever be written.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._error: OSError | None = None

    @classmethod
    def within(cls, writer: Any) -> "Quiet | None":
        """Wrap the file of a TensorBoard writer; None if this version of TensorBoard is built differently."""
        events = getattr(writer._get_file_writer(), "event_writer", None)
        thread: Any = getattr(getattr(events, "_async_writer", None), "_worker", None)
        if not hasattr(thread, "_record_writer"):
            return None
        thread._record_writer = quiet = cls(thread._record_writer)
        return quiet

    def write(self, record: bytes) -> None:
        """Write a record to the file."""
        try:
            self._file.write(record)
        except OSError as error:
            self._error = error

    def flush(self) -> None:
        """Flush the file."""
        try:
            self._file.flush()
        except OSError as error:
            self._error = error

    def complain(self) -> None:
        """Raise the error that was kept, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error


def _layout(kinds: Sequence[str]) -> Any:
    """The summary that describes the charts to the viewer; torch's own can make bands around one curve only."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata  # type: ignore[import-untyped]

    categories = []
    for kind in kinds:
        charts = []
        for title, parts in CHARTS[kind].items():
            if isinstance(parts[0], str):
                charts.append(layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=parts)))
            else:
                series = [layout_pb2.MarginChartContent.Series(value=v, lower=low, upper=up) for v, low, up in parts]
                charts.append(layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=series)))
        categories.append(layout_pb2.Category(title=kind, chart=charts))
    layout = layout_pb2.Layout(category=categories).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name=metadata.PLUGIN_NAME)
    tensor = TensorProto(dtype="DT_STRING", string_val=[layout])
    value = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=SummaryMetadata(plugin_data=plugin))
    return Summary(value=[value])


def thinned(tensor: Tensor) -> Tensor:
    """Values of a tensor for a histogram, (n,) float64: finite, at most about 10,000, and cut off at the last bin."""
    values = tensor.detach().flatten()[:: max(1, tensor.numel() // HISTOGRAM_VALUES)]
    return values[values.isfinite()].double().clamp(-HISTOGRAM_END, HISTOGRAM_END)


def _flat(config: Mapping[str, Any]) -> dict[str, str | float]:
    """The part of a configuration that is compared between runs, as one flat dictionary."""
    chosen = {name: config[name] for name in ("env", "algorithm", "seed", "episodes", "normalize_observations")}
    policy = config["policy"] or {}
    chosen |= {"policy": policy.get("policy"), "parameters": sum(prod(shape) for shape in config["net"].values())}
    chosen |= config["hyperparameters"] | policy.get("policy_args", {})
    plain = (int, float, str)
    return {
        name: value if isinstance(value, plain) and not isinstance(value, bool) else json.dumps(value)
        for name, value in chosen.items()
    }


def _table_of(net: Mapping[str, list[int]]) -> str:
    """A Markdown table of a network's tensors."""
    rows = ["| tensor | shape | numbers |", "|---|---|---|"]
    rows += [f"| {name} | {' x '.join(map(str, shape)) or 'one'} | {prod(shape):,} |" for name, shape in net.items()]
    return "\n".join([*rows, f"| all | | {sum(map(prod, net.values())):,} |"])
