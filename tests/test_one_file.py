"""A new search is one file: CONTRIBUTING's is put into a copy of the package, and found by everything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import torchpolicy

TESTS = Path(__file__).parent
CODE = re.findall(r"```python\n(.*?)```", (TESTS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the package, the new file in it, and the contract tests."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(torchpolicy.__file__).parent, tmp_path / "torchpolicy", ignore=ignore)
    shutil.copytree(TESTS / "contracts", tmp_path / "contracts", ignore=ignore)
    shutil.copy(TESTS / "conftest.py", tmp_path)
    (code,) = CODE
    (tmp_path / "torchpolicy" / "search" / "halving.py").write_text(code, encoding="utf-8")
    return tmp_path


def shell(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_on_the_command_line(copy: Path) -> None:
    assert "halving" in shell(copy, "torchpolicy", "train", "--help")
    assert "Factor that std is multiplied by after every" in shell(copy, "torchpolicy", "train", "halving", "--help")
    words = "train halving --env CartPole-v1 --generations 2 --population 6 --decay 0.9 --eval-episodes 2"
    assert "test " in shell(copy, "torchpolicy", *words.split())


def test_it_is_found_by_the_contract_tests(copy: Path) -> None:
    said = shell(copy, "pytest", "-q", "-p", "no:cacheprovider", "contracts/test_searches.py", "-k", "halving")
    passed = re.search(r"(\d+) passed", said)
    assert passed
    assert int(passed[1]) > 10
