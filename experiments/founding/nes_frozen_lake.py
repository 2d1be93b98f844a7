"""NES on FrozenLake, which the title of a founding sample names: a softmax of 16 states x 4 actions, 64 weights.

A single episode on the ice says next to nothing, because it ends with 0 or 1. So each candidate plays 20 episodes, the
same for all candidates. Sigma is 1, because the greedy policy changes only where one weight passes another. A little
weight decay keeps the weights so small that this sigma goes on making a difference. The score is the exact probability
that the greedy policy reaches the goal within 100 steps; the best possible value is 0.7402. The settings of the
CartPole sample are run too, for comparison.

python experiments/founding/nes_frozen_lake.py
python experiments/founding/nes_frozen_lake.py --render 5    shows the mean policy in a window every 5 generations
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from founding.samples import Sample, main
from frozen_lake import success_probability

import torchpolicy as tp

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "sigma 1, 20 episodes a candidate": {
        "std": 1.0,
        "episodes": 20,
        "learning_rate": 0.1,
        "weight_decay": 0.03,
        "total_steps": 3_000_000,
        "eval_every": 2,
    },
    "as on CartPole: sigma 0.1, 1 episode": {
        "std": 0.1,
        "baseline": "standardized",
        "mirrored": False,
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "total_steps": 1_000_000,
        "eval_every": 50,
    },
}


def train(seed: int, run_dir: str, settings: Mapping[str, Any]) -> tp.Result:
    """Train; 2,000 held-out episodes give an interval of +-0.02, narrow enough to tell 0.70 from 0.73."""
    return tp.train(
        "FrozenLake-v1",
        "nes",
        population=100,
        target=0.70,
        eval_episodes=2000,
        preset=False,
        seed=seed,
        run_dir=run_dir,
        **settings,
    )


if __name__ == "__main__":
    main(Sample("nes_frozen_lake", "FrozenLake-v1", 0.70, train, VARIANTS, success_probability), __doc__)
