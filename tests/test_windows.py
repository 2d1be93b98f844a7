"""On Windows the package can be imported and runs in one process; see `like_windows.py` for how far this is tried."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent

PROGRAM = """
import like_windows
like_windows.disguise()
print("modules", like_windows.import_everything())

import errno, pathlib, sys
import torchpolicy as tp
from torchpolicy.base.memory import machine_memory
from torchpolicy.base.user_code import in_a_line
from torchpolicy.cli import main
from torchpolicy.runs.folder import locked

print("memory", machine_memory(pathlib.Path("nowhere"), pathlib.Path("nowhere")) == like_windows.MEMORY)
print("files", in_a_line(OSError(errno.EMFILE, "Too many open files")))
short = {"generations": 2, "population": 4, "eval_episodes": 2, "run_dir": "run"}
result = tp.train("CartPole-v1", "cem", **short)
print("trained", len(result.metrics), len(list(pathlib.Path("run").glob("events.*"))))
print("resumed", len(tp.resume("run", generations=3).metrics))
print("command", main(["doctor"]))
try:
    with locked(pathlib.Path("run")), locked(pathlib.Path("run")):
        pass
except ValueError as error:
    print("locked", error)
try:
    tp.train("CartPole-v1", "cem", workers=2, generations=1)
except ValueError as error:
    print("refused", error)
"""


def test_it_is_imported_runs_in_one_process_and_refuses_more(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    said = {word: rest.strip() for word, _, rest in (line.partition(" ") for line in done.stdout.splitlines())}
    assert int(said["modules"]) > 80
    assert (said["trained"], said["resumed"], said["command"]) == ("2 1", "3", "0")
    cannot = "this system cannot fork processes"
    assert said["workers"] == f"--workers N does not work here, because {cannot}: start them with torchrun"
    assert said["refused"] == f"workers=2: {cannot}; start them with torchrun instead"
    assert re.fullmatch(r"run is being run by process \d+", said["locked"])
    assert said["memory"] == "True"
    assert said["files"] == "OSError: [Errno 24] Too many open files"  # no advice that Windows does not know
