"""Useful env steps per second of CEM with a linear policy on CartPole-v1, on one core, in whole generations.

Steps and seconds are summed over generations 1 to 30, without early stop. A generation asks, plays one episode of each
candidate, and tells. Steps up to the end of each episode are useful. All sides use the textbook's CEM: the best tenth,
a first std of 1, no smoothing. Ours, eager (float64, bit-equal to Gymnasium) and compiled (float32), is compared with

* evotorch's CEM: `GymNE`, and `VecGymNE` with all environments at once or 512 of them,
* ARS of sb3-contrib, whose generations have as many candidates,
* gymnax, with a whole generation jitted,
* NumPy, with Gymnasium's `CartPoleVectorEnv`.

Each measurement is a new process, after a warm-up that compiles and is timed separately. All sides take turns in one
run. A slow side plays fewer generations, only those that it begins within `--seconds`; the results say how many. These
are the first generations, in which most episodes are short, so a side that waits for the longest episode loses most
there: a larger `--seconds` is kinder to it.

python experiments/benchmarks/peers.py       makes the peers' environments, once
python experiments/benchmarks/cartpole.py
python experiments/benchmarks/cartpole.py --plot     draws results/cartpole.png from results/cartpole.json
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import torch
from machine import describe
from peers import run_ourselves, run_peer, versions

import torchpolicy as tp
from torchpolicy.envs.make import make_environment
from torchpolicy.rollout.make import choose_slots, make_rollout

matplotlib.use("Agg")  # pictures go to files

RESULTS = Path(__file__).parent / "results" / "cartpole.json"
GENERATIONS = 30
POPULATIONS = (16, 64, 256, 1024, 4096, 16384, 65536)
WAYS = {  # smallest and largest population
    "compiled": (16, 65536),
    "eager": (16, 65536),
    "gymnax": (64, 65536),
    "numpy": (64, 16384),
    "evotorch GymNE": (16, 1024),
    "evotorch VecGymNE": (16, 1024),
    "evotorch VecGymNE 512": (1024, 1024),
    "sb3 ARS": (16, 256),
}
EVOTORCH = tuple(way for way in WAYS if way.startswith("evotorch"))


def ours(population: int, generations: int, seconds: float, seed: int, compile: bool) -> dict[str, Any]:  # noqa: A002
    """One measurement, in this process."""
    torch.set_num_threads(1)
    environment = make_environment("CartPole-v1", backend="native")
    policy = tp.LinearPolicy(*environment.spaces, seed=seed)
    slots = choose_slots(environment, policy, population, compile=compile)
    rollout = make_rollout(environment, policy, slots=slots, compile=compile)

    def search() -> tp.CEM:
        center = tp.ParamVector(policy.net).read()
        return tp.CEM(center, population=population, std=1.0, elite_fraction=0.1, std_smoothing=0.0, seed=seed)

    begin = time.perf_counter()
    rollout.play(search().ask(), [1000 + seed])
    compiling = time.perf_counter() - begin
    cem, steps, done = search(), 0, 0
    begin, processor = time.perf_counter(), time.process_time()
    while done < generations and time.perf_counter() - begin < seconds:
        candidates = cem.ask()
        outcome = rollout.play(candidates, [1_000_000 * seed + done])
        cem.tell(candidates, torch.from_numpy(outcome.scores))
        steps += outcome.env_steps
        done += 1
    spent = time.perf_counter() - begin
    return {
        "generations": done,
        "steps": steps,
        "seconds": spent,
        "rate": steps / spent,
        "cores": (time.process_time() - processor) / spent,
        "compile": compiling if compile else 0.0,
        "slots": rollout.slots,
    }


def measure(way: str, population: int, arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One measurement, in a new process."""
    generations, seconds = arguments.generations, arguments.seconds
    answer: dict[str, Any]
    if way == "gymnax":
        answer = run_peer("gymnax", "cartpole_gymnax", population, generations, seed)
    elif way == "numpy":
        answer = run_ourselves("cartpole_numpy", population, generations, seconds, seed)
    elif way == "sb3 ARS":
        answer = run_peer("sb3", "cartpole_sb3", population, generations, seconds, seed)
    elif way in EVOTORCH:
        kind = {"GymNE": "gym", "VecGymNE": "vec", "VecGymNE 512": "vec512"}[way.removeprefix("evotorch ")]
        answer = run_peer("evotorch", "cartpole_evotorch", kind, population, generations, seconds, seed)
    else:
        command = [sys.executable, __file__, "--generations", str(generations), "--seconds", str(seconds)]
        command += ["--ours", way, str(population), str(seed)]
        answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return answer


def compare(population: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every side that plays this population, in turns; returns a row of medians for each."""
    ways = [way for way in arguments.ways if WAYS[way][0] <= population <= WAYS[way][1]]
    taken: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    for seed in range(arguments.repeats):
        for way in ways:
            taken[way].append(measure(way, population, arguments, seed))
    rows = []
    for way, measured in taken.items():
        rates = [each["rate"] for each in measured]
        row = {"population": population, "way": way, "rate": round(median(rates))}
        row |= {"generations": min(each["generations"] for each in measured)}
        row |= {key: round(median(each.get(key, 0.0) for each in measured), 2) for key in ("compile", "cores")}
        rows.append(row | {"rates": [round(rate) for rate in rates]})
        print(rows[-1], flush=True)
    return rows


def goals(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The goals that were measured, and whether they are reached; ratios are medians over the repeats."""
    rates = {(row["way"], row["population"]): row for row in rows}

    def rate(way: str, population: int) -> float | None:
        return rates[way, population]["rate"] / 1e6 if (way, population) in rates else None

    def ratio(way: str, others: tuple[str, ...], population: int) -> float | None:
        there = [rates[other, population] for other in others if (other, population) in rates]
        if not there or (way, population) not in rates:
            return None
        best = max(there, key=lambda row: int(row["rate"]))["rates"]
        pairs = zip(rates[way, population]["rates"], best, strict=True)
        return float(median(one / other for one, other in pairs))

    found = [
        ("compiled, P = 16384, million steps/s", 250, rate("compiled", 16384)),
        ("compiled, P = 1024, million steps/s", 60, rate("compiled", 1024)),
        ("compiled / gymnax, P = 16384", 5, ratio("compiled", ("gymnax",), 16384)),
        ("eager / evotorch's best, P = 1024", 20, ratio("eager", EVOTORCH, 1024)),
    ]
    return [
        {"goal": name, "at least": least, "measured": round(value, 1), "reached": value >= least}
        for name, least, value in found
        if value is not None
    ]


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw rates over populations, one line for each side."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for way in dict.fromkeys(row["way"] for row in rows):
        points = [(row["population"], row["rate"]) for row in rows if row["way"] == way]
        bold = way in ("compiled", "eager")
        label = f"torchpolicy, {way}" if bold else way
        axes.plot(*zip(*points, strict=True), marker="o", linewidth=2.5 if bold else 1.2, markersize=4, label=label)
    axes.set(xscale="log", yscale="log", xlabel="population", ylabel="useful env steps a second, one core")
    axes.set_title("CartPole-v1, linear policy, CEM, generations 1 to 30", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=200)
    plt.close(figure)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--seconds", type=int, default=20, help="seconds after which no generation begins")
    parser.add_argument("--populations", type=int, nargs="+", default=POPULATIONS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--plot", action="store_true")
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)  # way, population, seed
    arguments = parser.parse_args()
    if arguments.ours:
        way, population, seed = arguments.ours
        generations, seconds = arguments.generations, arguments.seconds
        print(json.dumps(ours(int(population), generations, seconds, int(seed), compile=way == "compiled")))
        return
    if not arguments.plot:
        rows = [row for population in arguments.populations for row in compare(population, arguments)]
        reached = goals(rows)
        for goal in reached:
            print(goal, flush=True)
        head = {**describe(), "peers": versions()}
        arguments.out.write_text(json.dumps({**head, "goals": reached, "rows": rows}, indent=2) + "\n")
    else:
        draw(json.loads(arguments.out.read_text())["rows"], arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
