"""Writes the figures of results/*.json into README.md, between its two markers.

python experiments/benchmarks/tables.py
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Table:
    """One table of the README.

    Attributes:
        file: Name of the results file in results/, without its ending.
        title: Heading above the table.
        rows: Keys that lead to the table's rows in the file, from the outermost to the innermost.
    """

    file: str
    title: str
    rows: tuple[str, ...] = ("rows",)


TABLES = (
    Table("cartpole", "CartPole-v1, linear, CEM: goals", ("goals",)),
    Table("cartpole", "CartPole-v1, linear, CEM: useful env steps a second, one core"),
    Table("simulators", "Two processes against evotorch: env steps a second"),
    Table("vector", "Whole runs through several simulators: env steps a second, two cores"),
    Table("slots", "Slots at work"),
    Table("shell", "From the shell", ("train",)),
    Table("shell", "Beside playing and updating", ("beside",)),
    Table("ask_tell", "Asking and telling, seconds"),
    Table("time_to_threshold", "From the shell to a held-out score, one seed"),
    Table("deep_cem", "DeepCEM on CartPole-v1 until the batch's mean exceeds 195"),
    Table("population_forward", "Forward of a population, microseconds", ("microseconds",)),
    Table("low_rank", "Noise of rank 1: asking and telling a million weights, seconds"),
    Table("low_rank", "Noise of rank 1: a run with ten million weights", ("whole_run",)),
    Table("gymnasium_stepping", "CartPole-v1 through Gymnasium: env steps a second"),
    Table("mujoco_slots", "A population in MuJoCo environments, one core"),
    Table("processes", "Two processes against one and against bare stepping", ("results",)),
    Table("checkpoints", "Checkpoints"),
    Table("gpu", "On a GPU: goals", ("goals",)),
    Table("gpu", "CartPole-v1 on a GPU", ("plays",)),
    Table("gpu", "Forward of a population on a GPU, microseconds", ("forwards",)),
)


def say(value: object) -> str:
    """A value as a short text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) < 100:
        return f"{value:.3g}" if value else "0"
    if isinstance(value, int | float):
        return f"{value:,.0f}"
    return "" if value is None else str(value)


def head(results: dict[str, Any]) -> str:
    """A line that says how and where a result was measured."""
    parts = [f"`{results['command']}`", f"commit {results['commit']}", results["date"], results["machine"]]
    parts += [f"{name} {results[name]}" for name in ("python", "torch", "numpy", "gymnasium")]
    parts += [", ".join(packages) for packages in results.get("peers", {}).values()]
    return "; ".join(parts) + "."


def draw(table: Table, results: dict[str, Any]) -> list[str]:
    """A table as Markdown lines. Its heads are the keys of the rows, except keys that hold lists."""
    found: Any = results
    for key in table.rows:
        found = found[key]
    rows: list[dict[str, Any]] = [found] if isinstance(found, dict) else found
    keys = dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list | dict))
    lines = [list(keys), ["---"] * len(keys), *([say(row.get(key)) for key in keys] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def main() -> None:
    """Replace what is between the markers."""
    lines: list[str] = []
    for table in TABLES:
        path = HERE / "results" / f"{table.file}.json"
        if path.exists():
            results = json.loads(path.read_text())
            if found := draw(table, results):
                lines += [f"### {table.title}", "", head(results), "", *found, ""]
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text("\n".join([before + BEGIN, "", *lines, END]) + after)


if __name__ == "__main__":
    main()
