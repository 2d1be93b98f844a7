"""What runs in processes of their own import from here."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from worlds import Guess

import torchpolicy as tp


class Mishap(tp.callbacks.Callback):
    """Until there is a file ``mended``, seed 5 raises in its second generation, and seed 7 is killed there."""

    def on_generation_end(self, run: Any, metrics: dict[str, float]) -> None:
        if run.generation == 2 and not Path("mended").exists():
            if run.plan.seed == 5:
                raise ValueError("seed 5 is out of luck")
            if run.plan.seed == 7:
                os.kill(os.getpid(), signal.SIGKILL)


class Slow(Guess):
    """As Guess, a quarter of a second for eight games."""

    def step(self, action: int) -> Any:
        time.sleep(0.003)
        return super().step(action)
