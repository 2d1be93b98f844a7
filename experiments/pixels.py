"""Policies that see, in the five games of MinAtar: a small convolutional network beside a perceptron on its pixels.

MinAtar (Young & Tian 2019, arXiv 1903.03176) shows Atari games as 10 x 10 pixels with a channel for each kind of
object. The games are played as in its paper: all six actions, of which the last one sticks one time in ten, and five
million frames. An episode ends after 2,500 frames at the latest. The package is GPL-3, and you install it yourself:
`pip install minatar`.

python experiments/pixels.py run --game Breakout --policy conv mlp     adds the rows that are not there yet
python experiments/pixels.py table                                        prints the table
"""

import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import rows

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "pixels.json"
FRAMES = 5_000_000

PAPER = {
    "Asterix": (19, 17),
    "Breakout": (17.5, 10),
    "Freeway": (47, 50),
    "Seaquest": (15.5, 20),
    "SpaceInvaders": (185, 44),
}
"""What its paper's actor-critic with traces of .8, and its DQN, reach after five million frames, read off figure 2."""

POLICIES: dict[str, dict[str, Any]] = {
    "conv": {"policy": "conv", "policy_args": {"channels": (16,), "kernels": (3,), "strides": (1,), "hidden": (32,)}},
    "mlp": {"policy": "mlp", "policy_args": {"hidden": (64, 32)}},
}
"""About as many weights: a convolution of 16 kernels has 33,600 to 34,500, a perceptron 27,900 to 66,300."""


def minatar(game: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    """A game with all six actions."""
    logging.disable(logging.WARNING)  # of missing libraries for pictures
    warnings.filterwarnings("ignore", message=".*is out of date.*")
    from minatar.gym import register_envs

    if f"MinAtar/{game}-v0" not in gymnasium.registry:
        register_envs()
    return gymnasium.make(f"MinAtar/{game}-v0", max_episode_steps=2500, **settings)


def run(game: str, policy: str, seed: int) -> rows.Row:
    """One run, as a row. Seconds are processor time, because machines are shared."""
    processor = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        result = tp.train(
            partial(minatar, game),
            "snes",
            seed=seed,
            preset=False,
            episodes="auto",
            total_steps=FRAMES,
            target=None,
            eval_every=20,
            log_dir=folder,
            **POLICIES[policy],
        )
    return {
        **{"game": game, "policy": policy, "seed": seed},
        "weights": tp.ParamVector(result.policy.net).dim,
        "mean": result.evaluation.mean,
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
        "curve": rows.thinned(rows.curve(result.metrics)),
    }


def table() -> None:
    """A Markdown table of all games and policies, beside the paper's figures."""
    heads = ["game", "policy", "IQM", "95 % interval", "worst seed", "frames", "seeds", "actor-critic", "DQN"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for game, (critic, dqn) in PAPER.items():
        for policy in POLICIES:
            mine = [row for row in rows.reported(RESULTS) if (row["game"], row["policy"]) == (game, policy)]
            if mine:
                print(f"| {' | '.join([game, policy, *rows.cells(mine, 1), f'{critic:g}', f'{dqn:g}'])} |")


if __name__ == "__main__":
    rows.main(__doc__, RESULTS, run, table, seeds=5, game=PAPER, policy=POLICIES)
