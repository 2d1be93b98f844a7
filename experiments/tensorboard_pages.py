"""Pictures of TensorBoard's pages of a run: LunarLander-v3 under xNES for a minute and a half. Needs chromium.

python experiments/tensorboard_pages.py
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

import torchpolicy as tp

PAGES = ("scalars", "custom_scalars", "histograms", "images", "text", "hparams")
SIZE, PORT = (1400, 1100), 6017
LOADING = 15.0
"""Seconds, of the server and of a page."""


def shoot(url: str, browser: str, path: Path) -> None:
    """A page as a picture."""
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        options += [f"--window-size={SIZE[0]},{SIZE[1]}", f"--virtual-time-budget={LOADING * 1000:.0f}"]
        subprocess.run([browser, *options, f"--screenshot={shot}", url], check=True, capture_output=True, timeout=120)
        with Image.open(io.BytesIO(shot.read_bytes())) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(path, optimize=True)


def main() -> None:
    """Train, serve, look."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--run", type=Path, help="of a run that there is, in place of training one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run
        if run is None:
            run = Path(folder) / "xnes"
            tp.train("LunarLander-v3", "xnes", seconds=arguments.seconds, seed=1, run_dir=run)
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--port", str(PORT)]
        server = subprocess.Popen([*command, "--load_fast=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(LOADING)
            for page in PAGES:
                path = arguments.out / f"tensorboard_{page}.png"
                shoot(f"http://localhost:{PORT}/#{page}", arguments.browser, path)
                print(path, flush=True)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
