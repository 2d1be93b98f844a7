"""A run in MLflow: settings as parameters, metrics over environment steps, and the reason for its end as a tag.

python experiments/examples/mlflow_writer.py             (pip install mlflow; then: mlflow ui)
"""

import argparse
import json
from math import isfinite
from pathlib import Path
from typing import Any

import mlflow

import torchpolicy as tp


class MLflowWriter(tp.Writer):
    """Sends a run to MLflow. A run that is resumed goes on there: its id stands in the run's folder."""

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        known = run_dir / "mlflow.txt"
        begun = known.read_text() if known.exists() else None
        known.write_text(mlflow.start_run(run_id=begun, run_name=run_dir.name).info.run_id)
        config = json.loads((run_dir / "config.json").read_text())
        if begun is None:
            mlflow.log_params({**config["hyperparameters"], "env": config["env"], "algorithm": config["algorithm"]})

    def write(self, metrics: dict[str, float], progress: float, distributions: Any = None) -> None:
        known = {key: value for key, value in metrics.items() if isfinite(value)}
        mlflow.log_metrics(known, step=int(metrics["rollout/env_steps"]))

    def end(self, metrics: dict[str, float], why: str) -> None:
        tested = {key: value for key, value in metrics.items() if key.startswith("test/") and isfinite(value)}
        mlflow.log_metrics(tested, step=int(metrics["rollout/env_steps"]))
        mlflow.set_tag("ended because", why)

    def close(self) -> None:
        mlflow.end_run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int)
    settings = vars(parser.parse_args())
    print(tp.train("CartPole-v1", "snes", writers=[MLflowWriter], **settings))
