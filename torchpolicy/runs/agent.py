"""``torchrun`` for :mod:`elastic`, which says why processes were stopped itself: no warnings, and no traceback."""

import logging
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.run import main

logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.ERROR)
if __name__ == "__main__":
    try:
        main()
    except SignalException as stop:
        sys.exit(128 + int(stop.sigval))
