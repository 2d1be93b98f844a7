"""Settings compared on one environment, for its presets: seeds from 100 on, which no table reports.

python experiments/tuning.py run Hopper-v5 snes '{"policy_args": {"hidden": [64, 64]}}' --seeds 100 101
                                    trains with these arguments of torchpolicy.train, without a preset, and adds rows
                                    to results/tuning/<env>.json; runs that were cut off go on
python experiments/tuning.py table Hopper-v5
                                    prints what was tried, the best first
"""

import argparse
import json
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import rows

import torchpolicy as tp
from torchpolicy.output.summary import iqm

RESULTS = Path(__file__).parent / "results" / "tuning"
ALWAYS = {"normalize_observations": True, "eval_episodes": 20, "target": None}
"""Settings of every run that it can be given others for."""


def run(env: str, folder: Path, algorithm: str, given: dict[str, Any], seed: int) -> rows.Row:
    """One run, as a row of the results. Seconds are processor time, because machines are shared."""
    name = "-".join([env, algorithm, *(f"{key}={value}" for key, value in given.items()), str(seed)])
    safe = "".join(each if each.isalnum() or each in "-=." else "_" for each in name)
    processor = time.process_time()
    settings = ALWAYS | {key: int(value) if key == "total_steps" else value for key, value in given.items()}
    if "hidden" in settings.get("policy_args", {}):
        settings = {"policy": "mlp"} | settings
    result = tp.train(env, algorithm, seed=seed, preset=False, run_dir=folder / safe, **settings)
    return {
        "algorithm": algorithm,
        "settings": given,
        "seed": seed,
        "mean": round(result.evaluation.mean, 2),
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
        "curve": rows.thinned(rows.curve(result.metrics)),
    }


def path_of(env: str) -> Path:
    """The file of an environment's results."""
    return RESULTS / f"{env}.json"


def table(env: str) -> None:
    """A Markdown table: score and area under the curve of each setting, the best first."""
    groups = defaultdict(list)
    for row in rows.read(path_of(env)):
        groups[row["algorithm"], json.dumps(row["settings"])].append(row)
    print(f"| algorithm | settings | seeds | score | worst | mean of the curve | CPU seconds |\n|{'---|' * 7}")
    for (algorithm, settings), mine in sorted(groups.items(), key=lambda pair: -_score(pair[1])):
        area = np.mean([np.mean([score for _, score in row["curve"]]) for row in mine])
        seconds = np.median([row["seconds"] for row in mine])
        numbers = f"{_score(mine):.1f} | {min(row['mean'] for row in mine):.1f} | {area:.1f} | {seconds:.0f}"
        print(f"| {algorithm} | {settings} | {len(mine)} | {numbers} |")


def _score(mine: list[rows.Row]) -> float:
    """The interquartile mean of the final tests."""
    return float(iqm(np.array([row["mean"] for row in mine])))


def main() -> None:
    """Run or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("env")
    running.add_argument("algorithm")
    running.add_argument("settings", type=json.loads, help="arguments of torchpolicy.train, as JSON")
    running.add_argument("--seeds", nargs="+", type=int, default=list(range(100, 108)))
    running.add_argument("--jobs", type=int, default=2, help="number of runs at a time")
    running.add_argument("--runs", type=Path, default=Path(gettempdir()) / "tuning", help="folder of the runs")
    commands.add_parser("table").add_argument("env")
    arguments = parser.parse_args()
    if arguments.command == "table":
        table(arguments.env)
        return
    wanted = [(arguments.algorithm, arguments.settings, seed) for seed in arguments.seeds]
    one, keys = partial(run, arguments.env, arguments.runs), ("algorithm", "settings", "seed")
    rows.fill(path_of(arguments.env), one, keys, wanted, arguments.jobs, env=arguments.env)


if __name__ == "__main__":
    main()
