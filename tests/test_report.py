"""What a run tells goes to every writer, and nothing that goes wrong there stops the run."""

from pathlib import Path
from typing import Any

import pytest
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.errors import CheckpointError
from torchpolicy.output.report import Report
from torchpolicy.output.writers.base import Writer, no_distributions


class Listener(Writer):
    """Keeps what it hears; what is in `failing` raises instead."""

    heard: list[tuple[str, Any]]
    failing: tuple[str, ...] = ()

    def __init__(self, run_dir: Path, resumed_at: int | None = None) -> None:
        super().__init__(run_dir, resumed_at)
        self.heard = []
        self._hear("open", (run_dir, resumed_at))

    def _hear(self, what: str, value: Any) -> None:
        if what in self.failing:
            raise OSError(28, f"no room for {what}")
        self.heard.append((what, value))

    def write(self, metrics: Any, progress: float, distributions: Any = no_distributions) -> None:
        self._hear("write", (metrics, progress, distributions))

    def note(self, text: str) -> None:
        self._hear("note", text)

    def picture(self, gif: bytes, env_steps: int) -> None:
        self._hear("picture", (gif, env_steps))

    def end(self, metrics: Any, why: str) -> None:
        self._hear("end", metrics)

    def close(self) -> None:
        self._hear("close", None)


class Film:
    """Has these pictures, one at each look; an exception among them is raised."""

    def __init__(self, *pictures: bytes | Exception | None) -> None:
        self.pictures = list(pictures)

    def look(self, policy: object) -> bytes | None:
        picture = self.pictures.pop(0)
        if isinstance(picture, Exception):
            raise picture
        return picture

    def begin_last(self, policy: object) -> None:
        self.begun = policy

    def last(self) -> bytes | None:
        return self.look(self.begun)


POLICY = tp.LinearPolicy(Guess.observation_space, Guess.action_space)


def listeners(count: int, *failing: str) -> list[type[Listener]]:
    """Kinds of writers that leave themselves in `found` of their kind; the first one fails."""

    def kind(number: int) -> type[Listener]:
        class Kind(Listener):
            found: "list[Listener]" = []  # noqa: RUF012

            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                self.found.append(self)

        Kind.failing = failing if number == 0 else ()
        Kind.__name__ = f"Writer{number}"
        return Kind

    return [kind(number) for number in range(count)]


def opened(kinds: list[type[Listener]], film: Any = None) -> tuple[Report, list[list[tuple[str, Any]]]]:
    """A report with these writers, and what each of those that began hears."""
    report = Report(film)
    report.open(kinds, Path("run"), 7)
    return report, [kind.found[0].heard for kind in kinds if kind.found]  # type: ignore[attr-defined]


def test_every_writer_hears_everything_in_order() -> None:
    report, heard = opened(listeners(2), Film(None, b"GIF"))
    report.note("a preset")
    report.write({"rollout/env_steps": 3.0}, 0.5, no_distributions)
    report.film(POLICY, 3)
    report.film(POLICY, 5)
    report.end({"test/mean_reward": 1.0}, "its target is reached")
    report.close()
    assert heard[0] == heard[1]
    assert heard[0] == [
        ("open", (Path("run"), 7)),
        ("note", "a preset"),
        ("write", ({"rollout/env_steps": 3.0}, 0.5, no_distributions)),
        ("picture", (b"GIF", 5)),
        ("end", {"test/mean_reward": 1.0}),
        ("close", None),
    ]


def test_the_last_picture_is_waited_for_and_shown_before_the_writers_close() -> None:
    report, (heard,) = opened(listeners(1), Film(b"GIF"))
    report.film_last(POLICY, 9)
    report.close()
    assert heard[-2:] == [("picture", (b"GIF", 9)), ("close", None)]
    report, (heard,) = opened(listeners(1), Film(ValueError("no display")))
    report.film_last(POLICY, 9)
    report.close()
    assert heard[-2:] == [("note", "no pictures of episodes: no display"), ("close", None)]


def test_without_writers_nothing_is_told_and_nothing_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.note("to nobody")
    report.write({}, 0, no_distributions)
    report.film(POLICY, 1)
    report.end({}, "its target is reached")
    report.close()
    assert capsys.readouterr() == ("", "")


def test_a_writer_that_cannot_begin_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    report, heard = opened(listeners(2, "open"))
    assert len(heard) == 1
    report.note("on we go")
    assert heard[0][-1] == ("note", "on we go")
    said = capsys.readouterr().err
    assert said == "Writer0 cannot begin, and is left out: [Errno 28] no room for open\n"


def test_a_damaged_file_is_not_the_writers_fault() -> None:
    class Damaged(Listener):
        def __init__(self, *_: object) -> None:
            raise CheckpointError("metrics.jsonl is damaged")

    with pytest.raises(CheckpointError, match="is damaged"):
        Report().open([Damaged], Path("run"), None)


def test_a_failing_writer_is_told_of_once_and_tried_again() -> None:
    kinds = listeners(2, "write", "end")
    report, heard = opened(kinds)
    for _ in range(3):
        report.write({}, 0, no_distributions)
    report.end({}, "its target is reached")
    (note,) = [value for what, value in heard[1] if what == "note"]
    assert note == "Writer0 cannot write: [Errno 28] no room for write (the run goes on)"
    assert [what for what, _ in heard[1]] == ["open", "note", "write", "write", "write", "end"]
    kinds[0].failing = ()
    report.write({}, 0, no_distributions)
    assert heard[0][-1][0] == "write"


def test_what_a_writer_cannot_note_goes_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report, heard = opened(listeners(2, "note"))
    report.note("this matters")
    report.note("this too")
    assert [value for what, value in heard[1] if what == "note"] == ["this matters", "this too"]
    assert capsys.readouterr().err.splitlines() == [
        "this matters",
        "Writer0 cannot write: [Errno 28] no room for note (the run goes on)",
        "this too",
    ]


def test_every_writer_is_closed_though_one_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    report, heard = opened(listeners(2, "close"))
    report.close()
    assert heard[1][-1] == ("close", None)
    assert capsys.readouterr().err == "Writer0 cannot be closed: [Errno 28] no room for close\n"


def test_a_picture_that_fails_is_noted_and_is_the_last() -> None:
    film = Film(b"one", KeyError("width"), b"three")
    report, heard = opened(listeners(1), film)
    for env_steps in (1, 2, 3):
        report.film(POLICY, env_steps)
    assert heard[0][1:] == [("picture", (b"one", 1)), ("note", "no pictures of episodes: KeyError: 'width'")]
    assert film.pictures == [b"three"]
