"""Takes pictures of TensorBoard with chromium: a search, runs side by side, and our runs beside stable-baselines3's.

python experiments/tensorboard_pages.py              LunarLander-v3 with xNES and with SNES, a minute and a half each
python experiments/tensorboard_pages.py --three      a stall, a good run and a short one: charts and texts
python experiments/tensorboard_pages.py --beside     CartPole-v1 with ours and PPO (benchmarks/peers.py installs it)
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers import run_peer
from PIL import Image

import torchpolicy as tp

TAGS = "eval/mean|rollout/ep_|search/(center_rank|signal|std_mean|step_norm)"
PAGES = {
    "scalars": f"scalars&_smoothingWeight=0&tagFilter={TAGS}",
    "custom_scalars": "custom_scalars",
    "histograms": "histograms",
    "images": "images",
    "text": "text",
}
BESIDE = "scalars&_smoothingWeight=0&tagFilter=rollout/ep_rew_mean|rollout/ep_len_mean|time/fps"
WIDTH, HEIGHT, PORT = 1400, 1100, 6017
LOADING = 15.0
"""Seconds to wait for the server, and for a page."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder with TensorBoard; yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(PORT)]
    command += ["--load_fast=false"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(LOADING)
        yield f"http://localhost:{PORT}"
    finally:
        server.terminate()
        server.wait()


def shoot(url: str, browser: str, path: Path, height: int = HEIGHT) -> None:
    """Take a picture of a page."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={WIDTH},{height}", f"--virtual-time-budget={LOADING * 1000:.0f}"]
        subprocess.run([browser, *options, f"--screenshot={shot}", url], check=True, capture_output=True, timeout=120)
        with Image.open(io.BytesIO(shot.read_bytes())) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)
    print(path, flush=True)


def show_search(folder: Path, seconds: float, browser: str, out: Path) -> None:
    """Take a picture of each page for one run, of the hyperparameters of both, and of the lander's landing."""
    for algorithm in ("snes", "xnes"):
        result = tp.train("LunarLander-v3", algorithm, seconds=seconds, seed=1, run_dir=folder / algorithm)
    print(result.record(out / "landing.gif"))
    with served(folder / "xnes") as address:
        for page, query in PAGES.items():
            height = 1500 if page in ("scalars", "custom_scalars") else HEIGHT
            shoot(f"{address}/#{query}", browser, out / f"tensorboard_{page}.png", height)
    with served(folder) as address:
        shoot(f"{address}/#hparams", browser, out / "tensorboard_hparams.png")


THREE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "stall": (
        "MountainCar-v0",
        "snes",
        {"policy_args": {"hidden": (64, 64)}, "population": 16, "preset": False, "generations": 80, "seed": 0},
    ),
    "good": ("LunarLander-v3", "snes", {"seed": 1}),
    "short": ("CartPole-v1", "cem", {"seed": 0, "target": "auto"}),
}
"""Environment, algorithm and settings of three runs from whose pages one should see what happened."""


def show_three(folder: Path, seconds: float, browser: str, out: Path) -> None:
    """Take a picture of the charts and of the texts of three runs."""
    for name, (env, algorithm, settings) in THREE.items():
        limit = {"seconds": seconds} if name == "good" else {}
        tp.train(env, algorithm, run_dir=folder / name, **{"target": None} | settings | limit)
        with served(folder / name) as address:
            for page in ("custom_scalars", "text"):
                shoot(f"{address}/#{page}", browser, out / f"three_{name}_{page}.png", 1500)


def show_beside(folder: Path, browser: str, out: Path) -> None:
    """Show our runs and stable-baselines3's PPO in one TensorBoard."""
    run_peer("sb3", "tensorboard_sb3", folder / "stable-baselines3", 100_000)
    for algorithm in ("snes", "deepcem"):
        run = folder / "torchpolicy" / algorithm
        tp.train("CartPole-v1", algorithm, seed=0, total_steps=100_000, backend="gymnasium", run_dir=run)
    with served(folder) as address:
        shoot(f"{address}/#{BESIDE}", browser, out / "tensorboard_beside_sb3.png")


def main() -> None:
    """Train, serve, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--three", action="store_true")
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.three:
            show_three(Path(folder), arguments.seconds, arguments.browser, arguments.out)
        elif arguments.beside:
            show_beside(Path(folder), arguments.browser, arguments.out)
        else:
            show_search(Path(folder), arguments.seconds, arguments.browser, arguments.out)


if __name__ == "__main__":
    main()
