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
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
from benchmarks.machine import describe

import torchpolicy as tp
from torchpolicy.output.summary import iqm

RESULTS = Path(__file__).parent / "results" / "tuning"
ALWAYS = {"normalize_observations": True, "eval_episodes": 20, "target": None}
"""Settings of every run that it can be given others for."""


def run(env: str, algorithm: str, given: dict[str, Any], seed: int, folder: Path) -> dict[str, Any]:
    """One run, as a row of the results. Seconds are processor time, because machines are shared."""
    name = "-".join([env, algorithm, *(f"{key}={value}" for key, value in given.items()), str(seed)])
    safe = "".join(each if each.isalnum() or each in "-=." else "_" for each in name)
    processor = time.process_time()
    settings = ALWAYS | {key: int(value) if key == "total_steps" else value for key, value in given.items()}
    if "hidden" in settings.get("policy_args", {}):
        settings = {"policy": "mlp"} | settings
    result = tp.train(env, algorithm, seed=seed, preset=False, run_dir=folder / safe, **settings)
    curve = [
        (row["rollout/env_steps"], round(row["eval/mean_reward"], 2))
        for row in result.metrics
        if "eval/mean_reward" in row
    ]
    return {
        **{name: describe()[name] for name in ("commit", "date")},
        "algorithm": algorithm,
        "settings": given,
        "seed": seed,
        "mean": round(result.evaluation.mean, 2),
        "env_steps": result.metrics[-1]["rollout/env_steps"],
        "seconds": round(time.process_time() - processor, 1),
        "curve": curve[:: max(1, len(curve) // 50)],
    }


def rows_of(env: str) -> list[dict[str, Any]]:
    """The rows that have been measured on an environment."""
    path = RESULTS / f"{env}.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def fill(env: str, algorithm: str, given: dict[str, Any], seeds: list[int], jobs: int, folder: Path) -> None:
    """Run the missing rows, and save each row when it is finished."""
    there = {row["seed"] for row in rows_of(env) if (row["algorithm"], row["settings"]) == (algorithm, given)}
    RESULTS.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        for done in as_completed(
            [pool.submit(run, env, algorithm, given, seed, folder) for seed in seeds if seed not in there]
        ):
            row = done.result()
            content = {**describe(), "env": env, "rows": [*rows_of(env), row]}
            (RESULTS / f"{env}.json").write_text(json.dumps(content) + "\n")
            print({name: value for name, value in row.items() if name != "curve"}, flush=True)


def table(env: str) -> None:
    """A Markdown table: score and area under the curve of each setting, the best first."""
    groups = defaultdict(list)
    for row in rows_of(env):
        groups[row["algorithm"], json.dumps(row["settings"])].append(row)
    print(f"| algorithm | settings | seeds | score | worst | mean of the curve | CPU seconds |\n|{'---|' * 7}")
    for (algorithm, settings), rows in sorted(groups.items(), key=lambda pair: -_score(pair[1])):
        area = np.mean([np.mean([score for _, score in row["curve"]]) for row in rows])
        seconds = np.median([row["seconds"] for row in rows])
        numbers = f"{_score(rows):.1f} | {min(row['mean'] for row in rows):.1f} | {area:.1f} | {seconds:.0f}"
        print(f"| {algorithm} | {settings} | {len(rows)} | {numbers} |")


def _score(rows: list[dict[str, Any]]) -> float:
    """The interquartile mean of the final tests."""
    return float(iqm(np.array([row["mean"] for row in rows])))


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
    given = arguments.settings
    fill(arguments.env, arguments.algorithm, given, arguments.seeds, arguments.jobs, arguments.runs)


if __name__ == "__main__":
    main()
