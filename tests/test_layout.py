"""Who may stand on whom: the picture of the house in CONTRIBUTING.md is what these tests hold the imports to."""

import ast
import re
from pathlib import Path

import torchpolicy

ONLY_IN = {
    "tensorboard": ("output.writers.tensorboard",),
    "torch.distributed": ("base.processes", "runs.agent"),  # which is torchrun itself
}
"""Libraries, whole or in part, and the files that alone import them."""

AT_THE_ROOT = 14
"""Entries of the package's folder at most, its own dunder files and py.typed aside."""

ROOT = Path(torchpolicy.__file__).parent
CONTRIBUTING = Path(__file__).parent.parent / "CONTRIBUTING.md"


def order() -> list[str]:
    """Modules from the top of the picture to its bottom; ``package.*`` is every file that is not named by itself."""
    picture = CONTRIBUTING.read_text(encoding="utf-8").split("## The house")[1].split("```")[1]
    found, folders = [], []
    for line in picture.strip("\n").splitlines():
        match = re.fullmatch(r"( *)([\w*]+)(/?) +\S.*", line)
        assert match, line
        folders = folders[: len(match[1]) // 2]
        if match[3]:
            folders.append(match[2])
        else:
            found.append(".".join([*folders, match[2]]))
    return found


ORDER = order()


def place(module: str) -> int:
    """How far down the picture a module stands."""
    package = module.rpartition(".")[0]
    return ORDER.index(module if module in ORDER else f"{package}.*")


def imports(path: Path) -> list[str]:
    """Modules that a file imports, by their full names."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = ROOT.parent / (node.module or "").replace(".", "/")
            found += [
                f"{node.module}.{each.name}" if (whole / f"{each.name}.py").exists() else str(node.module)
                for each in node.names
            ]
    return found


def modules() -> dict[str, Path]:
    """Every file of the package by its name, faces of folders aside."""
    paths = [path for path in sorted(ROOT.rglob("*.py")) if not path.name.startswith("__")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def test_every_file_stands_in_the_picture_and_imports_only_what_stands_below_it() -> None:
    for name, path in modules().items():
        for imported in imports(path):
            if imported.startswith("torchpolicy"):
                target = imported.removeprefix("torchpolicy.")
                assert place(name) < place(target), f"{name} imports {target}, which does not stand below it"


def test_every_line_of_the_picture_is_there() -> None:
    known = modules()
    for line in ORDER:
        assert line in known or (line.endswith(".*") and any(place(name) == place(line) for name in known)), line


def test_faces_of_folders_are_empty() -> None:
    for path in ROOT.rglob("__init__.py"):
        if path.parent not in (ROOT, ROOT / "cli"):
            assert not imports(path), f"{path}: everything is imported by its full name"


def test_the_root_is_small() -> None:
    found = [path.name for path in ROOT.iterdir() if not path.name.startswith("__") and path.name != "py.typed"]
    assert len(found) <= AT_THE_ROOT, sorted(found)


def test_libraries_stay_in_their_room() -> None:
    for name, path in modules().items():
        for imported in imports(path):
            for library, rooms in ONLY_IN.items():
                if re.match(rf"(torch\.utils\.)?{re.escape(library)}(\.|$)", imported):
                    assert name in rooms, f"{name} imports {imported}"


def test_files_stay_small_and_there_is_no_drawer() -> None:
    for name, path in modules().items():
        assert path.read_text(encoding="utf-8").count("\n") <= 300, f"{name} is longer than 300 lines"
        assert not {"utils", "common", "tools", "helpers", "misc"} & set(name.split(".")), name
