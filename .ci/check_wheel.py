"""Fails unless a wheel holds every file of the package: modules, presets, py.typed."""

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parent.parent


def main(wheel: str) -> None:
    """Compare a wheel's names with the files in the source tree."""
    package = ROOT / "torchpolicy"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix() for path in files}
    assert {"torchpolicy/py.typed", "torchpolicy/runs/presets/cem.toml"} <= expected
    found = {name for name in ZipFile(wheel).namelist() if name.startswith("torchpolicy/")}
    if expected != found:
        sys.exit(f"missing in {wheel}: {sorted(expected - found)}; not in the source: {sorted(found - expected)}")
    print(f"{wheel} holds all {len(found)} files of the package")


if __name__ == "__main__":
    main(sys.argv[1])
