"""Writing and reading ``metrics.jsonl``, which holds one JSON object per generation."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import check_fields, maybe, number
from torchpolicy.base.files import parse_object
from torchpolicy.output.writers.base import CLOSING, HELD_OUT, Distributions, Writer, no_distributions

NAME = "metrics.jsonl"

STEPS = "rollout/env_steps"


class JsonlWriter(Writer):
    """Appends to ``metrics.jsonl``; NaN and infinity are written as null.

    Lines that cannot be written, because the disk is full, are kept and written with the next generation.
    """

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        path = run_dir / NAME
        kept = [] if resumed_at is None else read_rows(run_dir, resumed_at)
        self._end = sum(len(line) for line, _ in kept)
        self._file = path.open("ab", buffering=0)
        self._file.truncate(self._end)
        self._waiting = b""
        self._closing = kept[-1] if kept and CLOSING in kept[-1][1] else None

    def write(
        self, metrics: dict[str, float], progress: float, distributions: Distributions = no_distributions
    ) -> None:
        if self._closing is not None:
            self._take_back(*self._closing)
        row = {key: value if isfinite(value) else None for key, value in metrics.items()}
        self._waiting += (json.dumps(row) + "\n").encode()
        self._flush()

    def close(self) -> None:
        try:
            self._flush()
        finally:
            self._file.close()

    def _take_back(self, line: bytes, row: dict[str, Any]) -> None:
        """Remove from the last row what the end of a run added to it, in place and without changing its length."""
        text = json.dumps({key: value for key, value in row.items() if key not in (*HELD_OUT, CLOSING)})
        with (self.run_dir / NAME).open("r+b", buffering=0) as file:
            file.seek(self._end - len(line))
            file.write(text.encode().ljust(len(line) - 1) + b"\n")
        self._closing = None

    def _flush(self) -> None:
        """Write the waiting lines: either all of them or none."""
        try:
            written = 0
            while written < len(self._waiting):
                written += self._file.write(self._waiting[written:])
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(self._waiting)
        self._waiting = b""


def read_rows(run_dir: Path, env_steps: float) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines of ``metrics.jsonl`` and their content, up to `env_steps`. A torn last line is left out.

    Raises:
        CheckpointError: If any other line is damaged. The message has the line's number.
    """
    path, rows = run_dir / NAME, []
    try:
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from error
    for place, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            row = parse_object(line)
            check_fields(row, {STEPS: number(0)}, [STEPS])
            if row[STEPS] > env_steps:
                break
            check_fields(row, dict.fromkeys(row, maybe(number())), ())
        except ValueError as error:
            raise CheckpointError(f"{path}, line {place}: {error}") from error
        rows.append((line, row))
    return rows
