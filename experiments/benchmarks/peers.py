"""Other libraries, each installed in its own virtual environment, where the scripts in peer_scripts/ measure them.

python experiments/benchmarks/peers.py                    makes the environments, from PyPI; some gigabytes
python experiments/benchmarks/peers.py --folder FOLDER    elsewhere; then set TORCHPOLICY_PEERS=FOLDER as well

A peer's script imports that peer and nothing of ours. It prints one JSON object on its last line.
"""

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("TORCHPOLICY_PEERS", "~/.cache/torchpolicy/peers")).expanduser()
SCRIPTS = Path(__file__).parent / "peer_scripts"
GYMNASIUM = "gymnasium[box2d,classic-control,mujoco]"

REQUIREMENTS = {
    "cmaes": ["cma==4.5.0", "cmaes==0.13.1", "numpy"],
    "envpool": ["envpool", GYMNASIUM],
    "evotorch": ["evotorch==0.6.1", "torch==2.13.0", f"{GYMNASIUM}==1.4.0"],
    "gymnax": ["gymnax==1.0.1", "jax==0.10.2", "six"],  # six it imports and does not name
    "sb3": ["sb3-contrib", "tensorboard", "torch==2.13.0", GYMNASIUM],  # the newest that it works with
    "sklearn": ["scikit-learn", f"{GYMNASIUM}==1.4.0"],
}


def make(name: str, folder: Path) -> None:
    """Make one peer's environment, if it does not exist."""
    place = folder / name
    if (place / "complete").exists():
        return
    print(f"{name}: {' '.join(REQUIREMENTS[name])}", flush=True)
    venv.create(place, with_pip=True)
    install = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]]
    subprocess.run(install, check=True)
    (place / "complete").touch()


def run_script(python: Path | str, script: str, *arguments: object) -> dict[str, Any]:
    """Run a script in peer_scripts/ with some Python and one OpenMP thread, and return what its last line holds."""
    command = [str(python), str(SCRIPTS / f"{script}.py"), *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**environment, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run_peer(name: str, script: str, *arguments: object) -> dict[str, Any]:
    """Run a script in a peer's environment, and return what its last line holds."""
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python} is missing: python experiments/benchmarks/peers.py makes it")
    return run_script(python, script, *arguments)


def run_ourselves(script: str, *arguments: object) -> dict[str, Any]:
    """Run a script that needs only what torchpolicy needs, and return what its last line holds."""
    return run_script(sys.executable, script, *arguments)


def versions() -> dict[str, list[str]]:
    """The versions of the packages that affect the results, by peer."""
    wanted = {"cma", "cmaes", "envpool", "evotorch", "gymnasium", "gymnax", "jax", "ray", "sb3-contrib"}
    wanted |= {"scikit-learn", "torch"}
    found = {}
    for name in REQUIREMENTS:
        python = FOLDER / name / "bin" / "python"
        if python.exists():
            freeze = [str(python), "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check"]
            listed = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.splitlines()
            found[name] = [line for line in listed if line.partition("==")[0].replace("_", "-") in wanted]
    return found


def main() -> None:
    """Make all environments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for name in REQUIREMENTS:
        make(name, arguments.folder)


if __name__ == "__main__":
    main()
