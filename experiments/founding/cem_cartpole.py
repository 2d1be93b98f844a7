"""The founding sample of CEM: CartPole, 25 candidates, the best fifth, a linear argmax policy of 10 parameters.

It differs from the sample in one point: the std moves only half of the way to the elite's std (`std_smoothing`),
because 5 elites say little about the std of 10 parameters. The sample's plain refit is run too, for comparison: once
from our own first weights, and once from the sample's center of 0 with a std of 1. A run ends when the mean policy has
reached the target on held-out episodes. CartPole-v1 ends an episode after 500 steps, like the sample.

python experiments/founding/cem_cartpole.py
python experiments/founding/cem_cartpole.py --render 2    shows the mean policy in a window, as the sample does
python experiments/founding/cem_cartpole.py --seeds 100 --out experiments/founding/results/cem_cartpole_100.json
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from founding.samples import Sample, main

import torchpolicy as tp

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "std follows the elite by half": {"std_smoothing": 0.5},
    "plain refit of the std": {"std_smoothing": 0.0},
    "the sample's values": {"std_smoothing": 0.0, "std": 1.0, "policy_args": {"initial_scale": 0.0}},
}


def train(seed: int, run_dir: str, settings: Mapping[str, Any]) -> tp.Result:
    """Train with the sample's sizes, and defaults for everything else."""
    return tp.train(
        "CartPole-v1",
        "cem",
        population=25,
        elite_fraction=0.2,
        target=495,  # 475 counts as solved; a little more, so that the test says so as well
        total_steps=300_000,
        eval_every=1,
        preset=False,
        seed=seed,
        run_dir=run_dir,
        **settings,
    )


if __name__ == "__main__":
    main(Sample("cem_cartpole", "CartPole-v1", 475, train, VARIANTS), __doc__)
