"""A run in Weights & Biases: metrics over environment steps, episodes as pictures, notes, and the final test.

python experiments/examples/weights_and_biases.py        (pip install wandb, and wandb login or WANDB_MODE=offline)
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import wandb

import torchpolicy as tp


class WandbWriter(tp.Writer):
    """Sends a run to Weights & Biases. A run that is resumed goes on there, because its folder's name is its id."""

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        config = json.loads((run_dir / "config.json").read_text())
        self._run = wandb.init(project="torchpolicy", id=run_dir.name, resume="allow", dir=run_dir, config=config)
        self._run.define_metric("*", step_metric="rollout/env_steps")

    def write(self, metrics: dict[str, float], progress: float, distributions: Any = None) -> None:
        self._run.log(metrics)

    def picture(self, gif: bytes, env_steps: int) -> None:
        self._run.log({"episode": wandb.Video(io.BytesIO(gif), format="gif"), "rollout/env_steps": env_steps})

    def end(self, metrics: dict[str, float], why: str) -> None:
        self._run.summary.update(metrics | {"ended because": why})

    def close(self) -> None:
        self._run.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int)
    settings = vars(parser.parse_args())
    print(tp.train("CartPole-v1", "snes", writers=[WandbWriter], **settings))
