"""TensorBoard's page of a run: scalars over environment steps, charts of them, histograms, and what was run."""

import json
import time
from collections.abc import Mapping
from math import inf, prod
from pathlib import Path
from typing import Any

from torch import Tensor

from torchpolicy.writers.base import Distributions, Writer, no_distributions

FLUSH_SECONDS = 2

HISTOGRAM_SECONDS = 10.0
"""Between histograms: they cost more than all scalars."""

HISTOGRAM_VALUES = 10_000
"""Of a larger tensor so many are looked at, evenly spaced."""

CHARTS = {
    "search": {
        "returns of the population: mean, best and worst": [
            "Margin",
            ["rollout/ep_rew_mean", "rollout/ep_rew_min", "rollout/ep_rew_max"],
        ],
        "the center against its population": [
            "Multiline",
            ["search/center_score", "eval/mean_reward", "rollout/ep_rew_mean", "rollout/ep_rew_max"],
        ],
        "step of the center against the noise around it": ["Multiline", ["search/step_norm", "search/noise_norm"]],
        "std by tensor": ["Multiline", ["std/.+"]],
        "signal to noise (1 is chance)": ["Multiline", ["search/signal"]],
        "share of episodes at the time limit, of tied scores": ["Multiline", ["rollout/truncated", "search/ties"]],
    },
    "learn": {
        "returns of all and of the elite": [
            "Multiline",
            ["rollout/ep_rew_mean", "learn/elite_return", "eval/mean_reward"],
        ],
        "loss": ["Multiline", ["learn/loss"]],
        "entropy": ["Multiline", ["learn/entropy"]],
        "share of episodes at the time limit": ["Multiline", ["rollout/truncated"]],
    },
    "time": {"where the seconds of a generation go": ["Multiline", ["time/.+_s"]]},
}
"""Custom scalars: charts of several curves, by their tags, for runs with metrics that begin so."""

OUTCOMES = ("test/mean_reward", "eval/mean_reward", "rollout/ep_rew_mean", "rollout/env_steps", "time/elapsed")
"""What the hyperparameters of runs are compared by."""


class TensorBoardWriter(Writer):
    """One event file a session; a viewer sees what is written within two seconds, and one curve over all sessions."""

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        purge_step = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(run_dir), purge_step=purge_step, flush_secs=FLUSH_SECONDS)
        self._next_histograms = -inf
        self._session_end: Any = None
        self._charted = resumed_at is not None
        path = run_dir / "config.json"
        if path.exists():
            self._introduce(json.loads(path.read_text(encoding="utf-8")))

    def write(
        self, metrics: dict[str, float], progress: float, distributions: Distributions = no_distributions
    ) -> None:
        steps = int(metrics["rollout/env_steps"])
        if not self._charted:
            kinds = {key.partition("/")[0] for key in metrics}
            shown = {kind: charts for kind, charts in CHARTS.items() if kind in kinds}
            self._writer.add_custom_scalars(shown)
            self._charted = True
        for key, value in metrics.items():
            self._writer.add_scalar(key, value, steps)
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

    def end(self, metrics: dict[str, float]) -> None:
        steps = int(metrics["rollout/env_steps"])
        for key, value in metrics.items():
            if key.startswith("test/"):
                self._writer.add_scalar(key, value, steps)

    def close(self) -> None:
        if self._session_end is not None:
            self._add(self._session_end)
        self._writer.close()

    def _add(self, summary: Any, steps: int | None = None) -> None:
        self._writer._get_file_writer().add_summary(summary, steps)  # type: ignore[no-untyped-call]

    def _introduce(self, config: Mapping[str, Any]) -> None:
        """What is run: as text, and as hyperparameters in the run's own event file."""
        from torch.utils.tensorboard.summary import hparams

        experiment, start, self._session_end = hparams(  # type: ignore[no-untyped-call]
            _flat(config), dict.fromkeys(OUTCOMES, 0.0)
        )
        for summary in (experiment, start):
            self._add(summary)
        if self.resumed_at is None:
            self._writer.add_text("configuration", f"```json\n{json.dumps(config, indent=2)}\n```", 0)
            self._writer.add_text("network", _table_of(config["net"]), 0)


def thinned(tensor: Tensor) -> Tensor:
    """Finite values of a tensor, (n,), evenly spaced where they are very many."""
    values = tensor.detach().flatten()[:: max(1, tensor.numel() // HISTOGRAM_VALUES)]
    return values[values.isfinite()]


def _flat(config: Mapping[str, Any]) -> dict[str, str | float]:
    """What of a configuration is compared between runs, one level deep."""
    chosen = {name: config[name] for name in ("env", "algorithm", "seed", "episodes", "backend", "compile")}
    policy = config["policy"] or {}
    chosen |= {"policy": policy.get("policy"), "parameters": sum(prod(shape) for shape in config["net"].values())}
    chosen |= config["hyperparameters"] | policy.get("policy_args", {})
    return {
        name: value if isinstance(value, int | float | str) else json.dumps(value) for name, value in chosen.items()
    }


def _table_of(net: Mapping[str, list[int]]) -> str:
    """The tensors of a network, in Markdown."""
    rows = ["| tensor | shape | numbers |", "|---|---|---|"]
    rows += [f"| {name} | {' x '.join(map(str, shape)) or 'one'} | {prod(shape):,} |" for name, shape in net.items()]
    return "\n".join([*rows, f"| all | | {sum(map(prod, net.values())):,} |"])
