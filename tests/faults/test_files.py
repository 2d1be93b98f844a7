"""Files of a run that are damaged, in whatever way: the same bits, or one line that names the file, and exit code 2."""

import contextlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import torchpolicy as tp
from torchpolicy.cli import main
from torchpolicy.output.collection import find_runs
from torchpolicy.output.config import FIELDS as CONFIG_FIELDS
from torchpolicy.output.saved_policy import FIELDS as POLICY_FIELDS
from torchpolicy.output.writers.jsonl import JsonlWriter

CONFIG, POLICY, METRICS = "config.json", "policy/policy.json", "metrics.jsonl"
FILES = (CONFIG, POLICY, METRICS, "policy/weights.safetensors", "checkpoints/ckpt-00000002-*")

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with checkpoints of its generations 1 and 2."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    settings: dict[str, Any] = {"generations": 2, "population": 4, "eval_episodes": 2, "checkpoint_seconds": 0}
    tp.train("CartPole-v1", "cem", run_dir=folder, target=None, max_episode_steps=20, **settings)
    return folder


@pytest.fixture(autouse=True)
def _short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long and reads nothing of a run is left out."""
    monkeypatch.setattr("torchpolicy.cli.export.export", lambda *_: None)
    monkeypatch.setattr("torchpolicy.runs.session._filming", lambda _: None)
    monkeypatch.setattr("torchpolicy.runs.session.writer_classes", lambda: [JsonlWriter])


CALLS: dict[str, Callable[[], object]] = {
    "load": lambda: tp.ParamVector(tp.load("run").net).read().tolist(),
    "plot": lambda: [run.rows for run in find_runs(["run"])] and "",
    "read_settings": lambda: str(tp.read_settings("run/config.json", generations=2)),
}
"""Those that read a run and leave it as it is: all of them are tried after every damage."""

AGAIN = "train --config run/config.json --run-dir again --generations 2 --seconds 9"

COMMANDS: dict[str, Callable[[], object]] = {
    "eval": lambda: main(["eval", "run", "--episodes", "2", "--json"]),
    "resume on": lambda: main(["resume", "run", "--generations", "3"]),
    "export": lambda: main(["export", "run"]),
    "resume": lambda: main(["resume", "run"]),
    "tp.resume": lambda: str(tp.resume("run").evaluation.mean),
    "train --config": lambda: main(AGAIN.split()),
}
"""Those that take their time: after every damage one of them, in turn, is tried."""


def outcome(call: Callable[[], object], result: Path = Path("run")) -> tuple[str, str]:
    """What a call came to, and what it said."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(told):
            code = call()
    except (ValueError, OSError) as error:  # what the command line says in one line, too
        return "refused", str(error)
    except Exception as error:
        return "raised", f"{type(error).__name__}: {error}"
    if code == 2:
        return "refused", said.getvalue()
    weights = result / "policy" / "weights.safetensors"
    print_out = told.getvalue() if told.getvalue().startswith("{") else ""
    return f"{code} {print_out}{weights.read_bytes().hex() if weights.is_file() else ''}", said.getvalue()


def restore(run: Path) -> None:
    for folder in ("run", "again"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run, "run")


class Look:
    """Damages a copy of a run, and looks at what each command makes of it."""

    def __init__(self, run: Path, file: str) -> None:
        self.run, self.file = run, file
        self.problems: list[str] = []
        self.turn = [name for name in COMMANDS if file == CONFIG or name != "train --config"]
        self.untouched = {}
        for name in (*CALLS, *self.turn):
            restore(run)
            self.untouched[name] = self.end(name)[0]

    def end(self, name: str) -> tuple[str, str]:
        """What a command came to, as far as it can be compared, and what it said."""
        end, said = outcome((CALLS | COMMANDS)[name], Path("again" if name == "train --config" else "run"))
        return (end if name in COMMANDS or end in ("refused", "raised") else end[: end.rfind(" ")]), said

    def after(self, damage: Damage, what: str) -> None:
        """See that each command works as before, or says in one line which file it is."""
        restore(self.run)
        (path,) = Path("run").glob(self.file)
        damage(path)
        self.turn = self.turn[1:] + self.turn[:1]
        for name in (*CALLS, self.turn[0]):
            end, said = self.end(name)
            named = path.name in said
            lines = [line for line in said.splitlines() if "this trains what" not in line]
            if end == "raised" or "Traceback" in said:
                self.problems.append(f"{what}: {name}: {said[-300:]}")
            elif end == "refused" and not (named and len(lines) == 1):
                self.problems.append(f"{what}: {name} said {said[:300]!r}")
            elif end not in ("refused", self.untouched[name]) and not named:
                self.problems.append(f"{what}: {name} silently came to another end: {end[:100]}")

    def is_fine(self) -> None:
        """Fail with all that was wrong."""
        assert not self.problems, "\n".join(self.problems)


def edits(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field of a file changed in every way, and left out."""
    for field in whole:
        for value in (None, "x", -1, 10**400, [None], {"x": [{}]}, True):
            if value != whole[field] or type(value) is not type(whole[field]):
                yield f"{field} as {str(value)[:9]}", whole | {field: value}
        yield f"no {field}", {name: value for name, value in whole.items() if name != field}


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", [CONFIG, POLICY])
def test_every_field_of_a_file_edited(run: Path, file: str, every: int) -> None:
    """Every seventh edit changes each field in one way or another."""
    whole, look = json.loads((run / file).read_text()), Look(run, file)
    assert set(whole) == set({CONFIG: CONFIG_FIELDS, POLICY: POLICY_FIELDS}[file])
    for what, content in list(edits(whole))[::every]:
        if what != "compile as True":  # which takes a compiler and half a minute
            text = json.dumps(content)
            look.after(lambda path, text=text: path.write_text(text), what)  # type: ignore[misc]
    look.is_fine()


KINDS: dict[str, Damage] = {
    "nested": lambda path: path.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n"),
    "nested in a field": lambda path: path.write_text('{"env_args": ' + "[" * 900 + "]" * 900 + "}\n"),
    "NaN": lambda path: path.write_text('{"rollout/env_steps": NaN, "seed": NaN}\n'),
    "Infinity": lambda path: path.write_text('{"rollout/env_steps": Infinity, "seed": Infinity}\n'),
    "a number without end": lambda path: path.write_text('{"seed": 1' + "0" * 10_000 + "}\n"),
    "no UTF-8": lambda path: path.write_bytes(b'{"env": "\xff\xfe"}\n'),
    "a list": lambda path: path.write_text("[]\n"),
    "null": lambda path: path.write_text("null\n"),
    "an empty table": lambda path: path.write_text("{}\n"),
    "no bytes": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(b"\0" * 4096),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "gone": lambda path: path.unlink(),
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("file", FILES)
def test_another_thing_in_a_files_place(run: Path, file: str) -> None:
    look = Look(run, file)
    for what, damage in KINDS.items():
        look.after(damage, what)
    look.is_fine()


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", FILES)
def test_bits_flipped_and_ends_cut_off(run: Path, file: str, times: int) -> None:
    (path,) = run.glob(file)
    size, rng, look = path.stat().st_size, random.Random(file), Look(run, file)
    for place in (rng.randrange(8 * size) for _ in range(times)):
        look.after(lambda path, place=place: flip(path, place), f"bit {place}")  # type: ignore[misc]
    for end in (rng.randrange(size) for _ in range(2 * times // 5)):
        cut = lambda path, end=end: path.write_bytes(path.read_bytes()[:end])  # noqa: E731
        look.after(cut, f"cut at {end}")
    look.is_fine()


def test_a_damaged_name_of_the_checksum_is_found(run: Path) -> None:
    restore(run)
    path = Path("run/config.json")
    path.write_text(path.read_text().replace('"checksum"', '"checkswm"'))
    for call in (lambda: tp.resume("run"), lambda: tp.train("CartPole-v1", "cem", run_dir="run")):
        with pytest.raises(ValueError, match=r"run/config.json: was edited, or is damaged"):
            call()
