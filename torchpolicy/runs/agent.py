"""``torchrun`` for :mod:`elastic`, which says why processes were stopped itself: no warnings, and no traceback."""

import logging
import sys


def main() -> None:
    """Run ``torchrun`` with the arguments of this process; where a signal stops it, exit without a word."""
    from torch.distributed.elastic.multiprocessing.api import SignalException  # what Windows may lack
    from torch.distributed.run import main as torchrun

    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.ERROR)
    try:
        torchrun()
    except SignalException as stop:
        sys.exit(128 + int(stop.sigval))


if __name__ == "__main__":
    main()
