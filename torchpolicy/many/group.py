"""The folder of several runs that differ in nothing except the seed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchpolicy.base.errors import CheckpointError
from torchpolicy.base.fields import TABLE, TEXT, Kind, check_fields, list_of, one_of, whole
from torchpolicy.base.files import read_json, write_json
from torchpolicy.output.config import CONFIG, digest
from torchpolicy.runs.folder import LOCK, MAY_DIFFER, folder_of, locked, new_folder, plain
from torchpolicy.runs.job import Job
from torchpolicy.runs.settings import MAY_CHANGE

NAME = "seeds.json"
"""The file in a group's folder that says what its runs are, and which of them are finished."""

FIELDS: dict[str, Kind] = {
    "format_version": one_of(1),
    "configuration": TEXT,
    "may_change": TABLE,
    "seeds": list_of(whole()),
    "finished": list_of(whole()),
}
"""All fields of that file, and what each may be."""


@dataclass(frozen=True)
class Seeds:
    """Runs that differ in nothing except the seed, in one folder.

    Attributes:
        folder: The group's folder.
        record: The content of its file: a digest of the configuration, the settings that may change where a run goes
            on, the seeds, and those that are finished.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def finished(self) -> Sequence[int]:
        """Seeds whose runs are finished, and still there."""
        seeds: list[int] = self.record["finished"]
        return [seed for seed in seeds if (self.run_dir(seed) / "policy" / "policy.json").exists()]

    def run_dir(self, seed: int) -> Path:
        """The run folder of a seed."""
        return self.folder / f"s{seed}"

    def finish(self, seed: int) -> None:
        """Write down that a seed's run is finished."""
        self.record["finished"] = sorted({*self.record["finished"], seed})
        write_json(self.folder / NAME, self.record)


@contextmanager
def open_seeds(job: Job, seeds: Sequence[int], log_dir: str | Path, run_dir: str | Path | None) -> Iterator[Seeds]:
    """The group that these seeds belong to, whose folder is held while the block lasts.

    It is the newest one for exactly these runs that is not finished, and otherwise a new one.

    Args:
        job: The run of one of the seeds.
        seeds: The seeds.
        log_dir: Where to look for that group, and where a new folder is made.
        run_dir: The group's folder, instead of one in `log_dir`. It may hold other seeds, too.

    Raises:
        ValueError: If the folder cannot be made, is used by another process, or holds something else.
        CheckpointError: If the file of the group at `run_dir` is damaged.
    """
    config = {name: value for name, value in plain(job.config).items() if name != "seed"}
    record = {
        "format_version": 1,
        "configuration": digest(config, without=MAY_DIFFER),
        "may_change": {name: config[name] for name in MAY_CHANGE if name in config},
        "seeds": list(seeds),
        "finished": [],
    }
    place = (log_dir, job.environment.name, f"{job.config['algorithm']}-seeds")
    folder = _unfinished(folder_of(*place[:2]), place[2], record) or new_folder(*place) if run_dir is None else run_dir
    with _made(Path(folder)) as group, locked(group):
        if (group / NAME).exists():
            record = _joined(group, record)
        write_json(group / NAME, record)
        yield Seeds(group, record)


def _unfinished(parent: Path, name: str, record: dict[str, Any]) -> Path | None:
    """The newest group of exactly these runs in which some are left to do; None if there is none."""
    for path in sorted(parent.glob(f"{name}-*/{NAME}"), reverse=True):
        with suppress(CheckpointError):  # whatever is damaged is no group to go on with
            found = _read(path)
            same = all(found[key] == record[key] for key in ("configuration", "may_change", "seeds"))
            if same and set(found["finished"]) < set(found["seeds"]):
                return path.parent
    return None


@contextmanager
def _made(folder: Path) -> Iterator[Path]:
    """A folder that is a group's, or will be one.

    Raises:
        ValueError: If it cannot be made, or holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if path.name != LOCK]
    except OSError as error:
        raise ValueError(f"cannot make the folder {error.filename}: {error.strerror}") from error
    if others and NAME not in others:
        kind = "a run of one seed" if CONFIG in others else "neither empty nor a folder of seeds"
        raise ValueError(f"run_dir {folder} is {kind}: name a new one for several seeds")
    yield folder


def _joined(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What a group's file says, and the seeds that are asked for now.

    Raises:
        ValueError: If the group is of another configuration.
    """
    found = _read(folder / NAME)
    if found["configuration"] != record["configuration"]:
        raise ValueError(f"{folder} holds seeds of another configuration: name another run_dir")
    again = found["may_change"] != record["may_change"]  # a run that was finished may now go on
    return {
        **record,
        "seeds": sorted({*found["seeds"], *record["seeds"]}),
        "finished": [] if again else found["finished"],
    }


def _read(path: Path) -> dict[str, Any]:
    """The content of a group's file, checked."""
    content = read_json(path)
    try:
        check_fields(content, FIELDS, FIELDS)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error
    return content
