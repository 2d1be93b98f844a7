"""Prints the lowest versions that pyproject.toml allows, as requirements for pip, without torch."""

import re
import tomllib
from pathlib import Path

NEEDED_HERE = ("hypothesis", "mujoco", "pytest", "pytest-timeout", "pytest-xdist")
"""Distributions of the extra `test` that the quick tests use."""


def main() -> None:
    """Print one requirement a line."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        name, _, version = requirement.partition(">=")
        own = requirement in project["dependencies"]
        if name != "torch" and (own or name in NEEDED_HERE):
            if not re.fullmatch(r"[\d.]+", version):
                raise SystemExit(f"{requirement} declares no lowest version")
            print(f"{name}=={version}")


if __name__ == "__main__":
    main()
