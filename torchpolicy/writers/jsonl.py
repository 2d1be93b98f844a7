"""``metrics.jsonl``: one JSON object a generation."""

import json
from math import isfinite
from pathlib import Path

from torchpolicy.writers.base import Writer


class JsonlWriter(Writer):
    """Appends to ``metrics.jsonl``; a number that JSON cannot say is null."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__(run_dir)
        self._file = (run_dir / "metrics.jsonl").open("a", encoding="utf-8")

    def write(self, metrics: dict[str, float], progress: float) -> None:
        row = {key: value if isfinite(value) else None for key, value in metrics.items()}
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
