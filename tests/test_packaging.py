"""What the package imports is declared, the versions that are tested may be installed, and git hides no file of it."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import torchpolicy

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]

DISTRIBUTIONS = {"PIL": "pillow"}
"""Distributions that are not called as the module that is imported."""


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def imported() -> Iterator[tuple[str, str, bool]]:
    """Distribution, file, and whether it is imported at once, of all imports that are not Python's or ours.

    What lies in ``envs/mujoco`` is imported only for an environment that needs MuJoCo.
    """
    for path in sorted((ROOT / "torchpolicy").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                name = module.partition(".")[0]
                if name not in sys.stdlib_module_names and name != "torchpolicy":
                    yield (
                        canonicalize_name(DISTRIBUTIONS.get(name, name)),
                        path.name,
                        node in tree.body and path.parent.name != name,
                    )


def test_every_import_is_of_a_declared_dependency() -> None:
    always, with_extras = names(PROJECT["dependencies"]), names([each for some in EXTRAS.values() for each in some])
    for distribution, file, at_once in imported():
        assert distribution in (always if at_once else always | with_extras), f"{file} imports {distribution}"


def test_every_dependency_is_imported() -> None:
    assert names(PROJECT["dependencies"]) == names(PROJECT["dependencies"]) & {name for name, *_ in imported()}


def test_tested_versions_are_written_down_and_allowed() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    tested = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    for each in map(Requirement, [*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["docs"]]):
        if not each.extras:
            assert each.specifier.contains(tested[canonicalize_name(each.name)]), each


def test_every_dependency_has_a_lowest_version_and_ci_takes_it() -> None:
    script = [sys.executable, str(ROOT / ".ci" / "lowest_versions.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout.split()
    for each in PROJECT["dependencies"]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+", each), f"{each} declares no lowest version"
        assert each.startswith("torch>") or each.replace(">=", "==") in printed


def test_git_hides_no_file_of_the_package() -> None:
    """A line of .gitignore once hid the folder torchpolicy/runs, from ruff too."""
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    files = [str(path) for path in (ROOT / "torchpolicy").rglob("*") if path.suffix in (".py", ".toml", ".typed")]
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    hidden = subprocess.run(command, cwd=ROOT, input="\n".join(files), capture_output=True, text=True, check=False)
    assert hidden.stdout == ""


def test_without_mujoco_everything_else_is_imported() -> None:
    code = "import sys; sys.modules['mujoco'] = None; import torchpolicy, torchpolicy.cli; import torchpolicy.envs.make"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_is_the_same_everywhere() -> None:
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    newest = re.search(r"^## .*?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert cited is not None
    assert newest is not None
    assert cited[1] == newest[1] == torchpolicy.__version__


def test_forms_and_metadata_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    paths = [ROOT / "CITATION.cff", *(ROOT / ".github").rglob("*.yml")]
    assert len(paths) == 4
    assert all(isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict) for path in paths)
