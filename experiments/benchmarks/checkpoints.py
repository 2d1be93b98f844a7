"""Share of a one-minute run's time that checkpoints take, and time until a run with a million parameters is resumed.

python experiments/benchmarks/checkpoints.py
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import describe

import torchpolicy as tp
from torchpolicy.training.trainer import Trainer

CASES: dict[str, dict[str, Any]] = {
    "10 parameters": {"population": 64},
    "a million parameters": {"population": 16, "policy_args": {"hidden": (996, 996)}},
}


class Clock:
    """Seconds spent in methods of the trainer."""

    def __init__(self) -> None:
        self.spent, self.first_generation = 0.0, 0.0

    def timed(self, method: Any) -> Any:
        """Wrap `method` so that the seconds of its calls are added up."""

        def call(*arguments: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self.spent += time.perf_counter() - begin

        return call

    def starting(self, method: Any) -> Any:
        """Wrap `method` so that the time of its first call is noted."""

        def call(*arguments: Any) -> Any:
            self.first_generation = self.first_generation or time.perf_counter()
            return method(*arguments)

        return call


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "checkpoints.json")
    arguments = parser.parse_args()
    save, state, generation = Trainer._save, Trainer.state_dict, Trainer._improve
    rows = []
    for name, settings in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock()
            Trainer._save, Trainer.state_dict = clock.timed(save), clock.timed(state)  # type: ignore[method-assign]
            begun = tp.train(
                "CartPole-v1",
                "cem",
                seconds=arguments.seconds,
                eval_episodes=1,
                eval_every=1000,
                log_dir=folder,
                **settings,
            )
            elapsed = begun.metrics[-1]["time/elapsed"]
            share = clock.spent / elapsed
            Trainer._save, Trainer.state_dict = save, state  # type: ignore[method-assign]
            clock = Clock()
            Trainer._improve = clock.starting(generation)  # type: ignore[method-assign]
            begin = time.perf_counter()
            tp.resume(begun.run_dir, seconds=elapsed + 2)
            resumed = clock.first_generation - begin
            Trainer._improve = generation  # type: ignore[method-assign]
        rows.append(
            {
                "run": name,
                "parameters": tp.ParamVector(begun.policy.net).dim,
                "generations": len(begun.metrics),
                "seconds": round(elapsed, 1),
                "share of time in checkpoints": round(share, 4),
                "seconds to the first generation after resume": round(resumed, 2),
            }
        )
        print(rows[-1], flush=True)
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps({**describe(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
