"""A million episodes in one run: memory and open files at every tenth of it.

The environment is one of Python's, with two steps an episode, so that what is tried is what happens between episodes.

    python experiments/soak/million.py
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import torchpolicy as tp

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.machine import describe

POPULATION = 500
EPISODES = 8


class Short(gymnasium.Env[Any, Any]):
    """Two steps; the reward is the action, less its distance from what was seen."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """A place that the seed chooses."""
        super().reset(seed=seed)
        self._place, self._left = self.np_random.uniform(-1, 1, 3).astype(np.float32), 2
        return self._place, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next place."""
        self._left -= 1
        return self._place, float(action[0] - abs(action[0] - self._place[0])), self._left == 0, False, {}


class Watch(tp.callbacks.Callback):
    """Takes down memory, open files and threads."""

    def __init__(self, every: int) -> None:
        self.every, self.rows, self.begin = every, [], time.monotonic()  # type: ignore[var-annotated]

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        """Look at this process every so many generations."""
        if run.generation % self.every == 0 or run.generation == 5:
            status = dict(
                line.split(":\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
            )
            self.rows.append(
                {
                    "episodes": run.generation * POPULATION * EPISODES,
                    "memory_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
                    "open_files": len(list(Path("/proc/self/fd").iterdir())),
                    "threads": int(status["Threads"]),
                    "seconds": round(time.monotonic() - self.begin, 1),
                }
            )
            print(self.rows[-1], flush=True)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "million.json")
    arguments = parser.parse_args()
    generations = arguments.episodes // (POPULATION * EPISODES)
    watch, machine = Watch(max(1, generations // 10)), describe()
    with tempfile.TemporaryDirectory() as folder:
        tp.train(
            Short,
            "cem",
            population=POPULATION,
            episodes=EPISODES,
            generations=generations,
            target=None,
            eval_every=50,
            run_dir=Path(folder) / "run",
            checkpoint_seconds=1,
            callbacks=[watch],
        )
    arguments.out.write_text(json.dumps({**machine, "rows": watch.rows}, indent=2) + "\n")
    grown = watch.rows[-1]["memory_mib"] - watch.rows[1]["memory_mib"]
    print(f"memory has grown by {grown:.1f} MiB since the first tenth")


if __name__ == "__main__":
    main()
