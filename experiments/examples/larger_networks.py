"""A larger network with noise of low rank: no candidate's matrices are ever written out.

python experiments/examples/larger_networks.py
"""

import argparse

import torchpolicy as tp


def main() -> None:
    """Train some 130,000 weights on CartPole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--generations", type=int, default=100)
    options = parser.parse_args()
    result = tp.train(
        "CartPole-v1",
        "nes",
        policy="residual",
        policy_args={"width": options.width, "blocks": 1},
        noise_rank=1,
        population=64,
        std_scale=0.5,
        target=475,
        generations=options.generations,
    )
    weights = tp.ParamVector(result.policy.net).dim
    print(f"{weights:,} weights: {result.evaluation.mean:.0f} after {len(result.metrics)} generations")


if __name__ == "__main__":
    main()
