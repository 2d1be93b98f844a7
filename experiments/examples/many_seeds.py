"""Two algorithms over several seeds, side by side, and whether one improves on the other.

python experiments/examples/many_seeds.py
"""

import argparse

import torchpolicy as tp


def main() -> None:
    """Train, and compare the test scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--generations", type=int, default=5)
    options = parser.parse_args()
    common = {"seeds": range(options.seeds), "jobs": 2, "generations": options.generations, "eval_episodes": 20}
    for name in ("cem", "snes"):
        tp.train_seeds("CartPole-v1", name, target=None, run_dir=f"runs/many-seeds/{name}", **common)
    print(tp.compare("runs/many-seeds"))


if __name__ == "__main__":
    main()
