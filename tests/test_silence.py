"""Processes that are silent, and steps that do not end: told, named and given up."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from worlds import Guess

import torchpolicy as tp
from torchpolicy.base.activity import BEAT, EACH, PLACE, SLOT, STEP, TICK, TURN, Activity, Doing
from torchpolicy.base.launcher import choose_interface, is_here, is_loopback, own_address
from torchpolicy.base.peers import Board, Nobody, Peers
from torchpolicy.base.vigil import Vigil
from torchpolicy.base.waiting import SilentProcessError, Waiting
from torchpolicy.runs.patrol import Patrol

MODULE = '''
import time
from pathlib import Path

from worlds import Guess


class Hang(Guess):
    """Hangs once, when training has begun and a checkpoint was written."""

    def step(self, action):
        if list(Path("run/checkpoints").glob("ckpt-00000003-*")) and not Path("hung").exists():
            Path("hung").touch()
            time.sleep(1000)
        return super().step(action)
'''

TRAIN = [sys.executable, "-m", "torchpolicy", "train", "cem", "--policy", "linear", "--population", "40"]
TRAIN += ["--generations", "30", "--eval-episodes", "2", "--checkpoint-seconds", "0", "--target", "none"]


def train(run_dir: str, *options: str, env: str = "hang:Hang") -> "subprocess.Popen[str]":
    tests = str(Path(__file__).parent)
    environ = {**os.environ, "PYTHONPATH": f".:{tests}:{os.environ.get('PYTHONPATH', '')}"}
    command = [*TRAIN, "--env", env, "--run-dir", run_dir, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def finish(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """What a run said on standard error, after it ended."""
    _, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    return err


def weights(run_dir: str) -> bytes:
    return (Path(run_dir) / "policy" / "weights.safetensors").read_bytes()


def test_a_step_that_hangs_is_named_and_the_run_can_go_on() -> None:
    Path("hang.py").write_text(MODULE)
    process = train("run", "--step-timeout", "2")
    err = finish(process, 2)
    assert re.search(r"a step of Hang \(candidate \d+, episode 0\) did not end within 2 s \(step_timeout=2\)", err)
    finish(train("run", "--step-timeout", "2"))
    finish(train("whole"))  # it hangs once only
    assert weights("run") == weights("whole")


def test_a_worker_whose_step_hangs_is_named_and_replaced() -> None:
    Path("hang.py").write_text(MODULE)
    process = train("run", "--step-timeout", "2", "--workers", "2")
    err = finish(process)
    assert re.search(r"a step of Hang \(candidate \d+, episode 0\) did not end within 2 s", err)
    assert re.search(r"process [01] was lost \(exit code 75\): starting all 2 again from generation", err)
    finish(train("whole"))
    assert weights("run") == weights("whole")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_stopped_worker_is_named_and_replaced(rank: int) -> None:
    process = train("run", "--workers", "2", "--patience", "12", "--generations", "400", env="worlds:Guess")
    deadline = time.monotonic() + 60
    while len(list(Path("run/checkpoints").glob("ckpt-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(sorted(map(int, children))[rank], signal.SIGSTOP)
    err = finish(process)
    assert re.search(rf"process {rank} \(pid \d+\) has given no sign of life for 1\d s: it is stopped", err)
    assert re.search(rf"process {rank} was lost \(no sign of life for 1\d s: it is stopped\): starting all 2", err)
    finish(train("whole", "--generations", "400", env="worlds:Guess"))
    assert weights("run") == weights("whole")


class Others(Peers):
    """Process 1, which is doing this."""

    def __init__(self, doing: Doing | None) -> None:
        super().__init__()
        self.doing = doing

    def look(self, rank: int) -> Doing | None:
        return self.doing


def test_who_waits_is_told_for_whom_and_gives_up_after_some_patience(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("torchpolicy.base.peers.time.monotonic", lambda: now[0])
    peers = Others(Doing(5, 1, STEP, 3, 9, 7, 0))
    peers.names = {1: " (node2)"}
    waiting = Waiting(0, 2, peers, 30.0, speaks=True)
    waiting.begin()
    for seconds in range(30):
        now[0] = 100.0 + seconds
        waiting.look(2, float(seconds))
    now[0] = 130.0
    with pytest.raises(SilentProcessError, match=r"no sign of life from process 1 \(node2\) for 30 s"):
        waiting.look(2, 30.0)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(
        "torchpolicy: process 0 has waited 10 s for process 1 (node2), which has given no sign of life"
    )
    assert first.endswith("in a step of its environment (candidate 7, episode 0)")
    assert "has waited 20 s" in second


def test_a_process_at_work_is_waited_for_and_told_of_less_and_less(capsys: pytest.CaptureFixture[str]) -> None:
    peers = Others(None)
    waiting = Waiting(0, 2, peers, 30.0, speaks=True)
    for _ in range(3):
        waiting.begin()
        for seconds in range(200):
            peers.doing = Doing(seconds, 1, 0, -1, 0, -1, -1)
            waiting.look(2, float(seconds))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5  # after 10, 20, 40, 80 and 160 seconds, in the first wait only
    assert told[0] == "torchpolicy: process 0 has waited 10 s for process 1, which is at work"


def test_a_process_that_falls_silent_after_it_has_come_is_given_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("torchpolicy.base.peers.time.monotonic", lambda: now[0])
    waiting = Waiting(0, 2, Others(Doing(5, 2, 0, -1, 0, -1, -1)), 30.0, speaks=True)
    waiting.begin()
    for seconds in range(30):
        now[0] = 100.0 + seconds
        waiting.look(2, float(seconds))
    assert capsys.readouterr().err == ""  # nobody waits for it to come
    now[0] = 130.0
    with pytest.raises(SilentProcessError, match="no sign of life from process 1 for 30 s"):
        waiting.look(2, 30.0)


def test_nobody_is_missing_who_has_come() -> None:
    waiting = Waiting(0, 3, Others(Doing(1, 4, 0, -1, 0, -1, -1)), 30.0, speaks=True)
    assert waiting.behind(4) == []
    assert waiting.missing(5) == "no answer from process 1, process 2"
    assert Nobody().look(0) is None


def test_silence_is_counted_anew_after_this_process_itself_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("torchpolicy.base.peers.time.monotonic", lambda: now[0])
    board = Board(2)
    board.of(1).row[BEAT] = 1
    board.hear(1)
    now[0] = 4.0
    assert board.hear(1)[1] == 4.0
    now[0] = 1000.0
    assert board.hear(1)[1] == 0.0


class Worker:
    """A worker process, as the patrol sees it."""

    pid = None
    killed = False

    def kill(self) -> None:
        self.killed = True


def test_who_was_given_up_by_another_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("torchpolicy.base.peers.time.monotonic", lambda: now[0])
    board, workers = Board(2), [Worker(), Worker()]
    patrol = Patrol(board, workers, "Env-v0", 60.0, None)  # type: ignore[arg-type]
    for second in range(60):
        now[0] = float(second)
        board.of(0).row[BEAT], board.of(1).row[BEAT] = second, 1
        assert patrol.look(workers) is None  # type: ignore[arg-type]
    assert patrol.look(workers, given_up=True) == "process 1 was lost (no sign of life for 59 s)"  # type: ignore[arg-type]
    assert (workers[0].killed, workers[1].killed) == (False, True)


def test_a_board_shows_what_other_processes_do() -> None:
    board = Board(2)
    row = board.of(1).row
    row[BEAT], row[TURN], row[EACH], row[PLACE], row[SLOT] = 3, 2, 4, STEP, 5
    board.of(1).play(5, 14)
    assert board.look(1) == Doing(3, 2, STEP, 5, 0, 3, 2)
    assert board.look(1).words("Env-v0") == "a step of Env-v0 (candidate 3, episode 2)"
    assert board.look(0).words("Env-v0") == ""


def test_a_vigil_tells_of_a_long_step_and_again_after_twice_as_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchpolicy.base.vigil.LONG", 0.3)
    monkeypatch.setattr("torchpolicy.base.vigil.EVERY", 0.02)
    activity = Activity()
    with Vigil(activity, "Env-v0", "process 1: ", None, 2) as vigil:
        activity.row[PLACE] = STEP
        time.sleep(0.85)
        for _ in range(30):  # steps that end
            activity.row[TICK] += 1
            time.sleep(0.02)
    told = capsys.readouterr().err.splitlines()
    assert [line.partition(" has taken")[0] for line in told] == ["torchpolicy: process 1: a step of Env-v0"] * 2
    assert vigil.expired == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "patience must be a number in"),
        ({"step_timeout": 0}, "step_timeout must be a number in"),
        ({"step_timeout": -1}, "step_timeout must be a number in"),
    ],
)
def test_times_have_to_be_positive(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tp.train(Guess, "cem", generations=1, **settings)


def test_addresses_are_found_by_the_way_to_a_host() -> None:
    assert is_here("127.0.0.1")
    assert is_here("localhost")
    assert not is_here("192.0.2.7")
    assert not is_here("no-such-host.invalid")
    own = own_address("127.0.1.1")
    assert own is None or not is_loopback(own)
    alone = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert choose_interface({**alone, "GLOO_SOCKET_IFNAME": "eth7"}) is None
    if sys.platform == "linux":
        assert choose_interface(alone) == "lo"
