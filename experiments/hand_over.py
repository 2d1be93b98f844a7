"""One policy that three algorithms train in turn on CartPole-v1: CEM, DeepCEM, REINFORCE, and CEM again.

Each algorithm starts from the weights that the one before it left. At every hand-over the policy is scored as the run's
files hold it and as it is handed over, on the same episodes. DeepCEM from scratch is run for comparison.

python experiments/hand_over.py
"""

import argparse
import json
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.machine import describe

import torchpolicy as tp

RESULTS = Path(__file__).parent / "results" / "hand_over.json"
NET = {"hidden": (20, 20), "activation": "tanh"}
STAGES: list[tuple[str, dict[str, Any]]] = [
    ("cem", {"generations": 5}),
    ("deepcem", {"generations": 8, "episodes": 50}),
    ("reinforce", {"generations": 20, "episodes": 10, "learning_rate": 0.005}),
    ("cem", {"generations": 5, "std": 0.05}),
]


def run(seed: int, stages: list[tuple[str, dict[str, Any]]]) -> list[dict[str, float]]:
    """One row for each stage: the score of the policy it was given, that of the policy in its files, its env steps."""
    policy: tp.Policy | None = None
    rows = []
    for algorithm, settings in stages:
        with tempfile.TemporaryDirectory() as folder:
            start = (
                {"policy_args": {"hidden": (20, 20), "activation": "tanh"}} if policy is None else {"policy": policy}
            )
            handed = float("nan") if policy is None else score(policy, seed)
            result = tp.train(
                "CartPole-v1", algorithm, **start, preset=False, target=None, seed=seed, log_dir=folder, **settings
            )
            left = score(tp.load(result.run_dir), seed)
        policy = result.policy
        rows.append({"handed": handed, "left": left, "env_steps": result.metrics[-1]["rollout/env_steps"]})
    return rows


def score(policy: tp.Policy, seed: int) -> float:
    """The score on 100 episodes that no run plays."""
    return tp.evaluate(policy, "CartPole-v1", episodes=100, seed=seed).mean


def main() -> None:
    """Run all seeds, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    chains = [run(seed, STAGES) for seed in range(arguments.seeds)]
    alone = [run(seed, [STAGES[1]]) for seed in range(arguments.seeds)]
    same = all(after["handed"] == before["left"] for chain in chains for before, after in pairwise(chain))
    print("\n| stage | score handed over | score left | worst seed left | env steps |\n|---|---|---|---|---|")
    stages = [(name, [chain[i] for chain in chains]) for i, (name, _) in enumerate(STAGES)]
    for name, rows in [*stages, ("deepcem from scratch", [one[0] for one in alone])]:
        handed, left, steps = (mean(row[key] for row in rows) for key in ("handed", "left", "env_steps"))
        shown = "" if handed != handed else f"{handed:.1f}"
        print(f"| {name} | {shown} | {left:.1f} | {min(row['left'] for row in rows):.1f} | {steps:,.0f} |")
    print(f"\nwhat was handed over scores what it did before, on every seed: {same}")
    content = {**describe(), "stages": STAGES, "chains": chains, "from_scratch": [one[0] for one in alone]}
    arguments.out.write_text(json.dumps({**content, "same": same}) + "\n")


if __name__ == "__main__":
    main()
