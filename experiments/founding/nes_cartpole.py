"""The founding sample of NES: CartPole, 4 weights, action 1 if w.x > 0 else 0, 100 candidates, sigma 0.1.

There are three variants. One standardises scores, like the sample. One follows the formula of the text,
w += alpha 1/n sum (f(w + sigma eps) - f(w)) / sigma eps, in which f(w) is one more candidate. The third has the
sample's own values: 200 episodes for each candidate, w uniform in +-1 at first, and an end as soon as the mean of 200
episodes is at least 50. The sample's step is alpha / (n sigma + 1) sum A eps, and ours is learning_rate / (n sigma)
sum A eps, so that its alpha of 0.001 is a learning rate of 0.00091 here.

python experiments/founding/nes_cartpole.py
python experiments/founding/nes_cartpole.py --render 5    shows the mean policy in a window every 5 generations
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.append(str(Path(__file__).parents[1]))  # the experiments

from founding.samples import Sample, main

import torchpolicy as tp

N, SIGMA, ALPHA = 100, 0.1, 0.001
"""The sample's candidates, width of the noise, and step size."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "standardised scores": {"baseline": "standardized", "population": N, "learning_rate": 0.1},
    "f(w + sigma eps) - f(w) (the text)": {"baseline": "center", "population": N + 1, "learning_rate": ALPHA},
    "the sample's values": {
        "baseline": "standardized",
        "population": N,
        "learning_rate": ALPHA * N * SIGMA / (N * SIGMA + 1),
        "start": 1.0,
        "episodes": 200,
        "eval_episodes": 200,
        "target": None,
        "callbacks": [tp.callbacks.StopOnReturn(50, "eval/mean_reward")],
        "total_steps": 60_000_000,
    },
}


class Sign(nn.Module):
    """Returns logits (0, z): the more probable action is 1 if z > 0 and 0 otherwise.

    Args:
        net: Module that computes z (N, 1) from observations (N, 4).
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, 2) for observations (N, 4)."""
        z = self.net(x)
        return torch.cat([torch.zeros_like(z), z], -1)


def linear(seed: int, start: float) -> Sign:
    """The sample's policy, with its first weights drawn uniformly between -start and start."""
    layer = nn.Linear(4, 1, bias=False)
    nn.init.uniform_(layer.weight, -start, start, generator=torch.Generator().manual_seed(seed))
    return Sign(layer)


def train(seed: int, run_dir: str, settings: Mapping[str, Any]) -> tp.Result:
    """Train with the sample's sizes and its plain gradient step.

    Of the settings, start is for the first weights, and the others are those of `tp.train`.
    """
    common = {
        "target": 495,  # 475 counts as solved; a little more, so that the test says so as well
        "total_steps": 2_000_000,
        "start": 0.5,
    }
    given = {**common, **settings}
    return tp.train(
        "CartPole-v1",
        "nes",
        policy=linear(seed, given.pop("start")),
        std=SIGMA,
        mirrored=False,
        optimizer="sgd",
        eval_every=1,
        preset=False,
        seed=seed,
        run_dir=run_dir,
        **given,
    )


if __name__ == "__main__":
    main(Sample("nes_cartpole", "CartPole-v1", 475, train, VARIANTS), __doc__)
