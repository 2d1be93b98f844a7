"""``python -m torchpolicy`` is the command ``torchpolicy``."""

import sys

from torchpolicy.cli import main

if __name__ == "__main__":
    sys.exit(main())
