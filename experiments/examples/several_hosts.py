"""One run over several hosts: each starts the same line, and the result has the bits of a single process.

torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \
    experiments/examples/several_hosts.py --run-dir /shared/run        on each of two hosts, which share a folder
torchrun --nproc-per-node 2 experiments/examples/several_hosts.py     two processes on this machine
"""

import argparse
import os

import torchpolicy as tp


def main() -> None:
    """Train in whatever processes torchrun has started; nothing here depends on their number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run-dir", default="runs/several-hosts")
    parser.add_argument("--generations", type=int, default=10)
    options = parser.parse_args()
    settings = {"population": 64, "target": None, "generations": options.generations, "run_dir": options.run_dir}
    result = tp.train("Acrobot-v1", "snes", preset=False, **settings)
    if os.environ.get("RANK", "0") == "0":
        total = sum(tensor.double().sum().item() for tensor in result.policy.state_dict().values())
        print(f"score {result.evaluation.mean:.1f}, sum of weights {total:.12f}")


if __name__ == "__main__":
    main()
