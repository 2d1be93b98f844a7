"""Where the time of playing goes."""

from collections.abc import Iterable
from time import perf_counter


class Clock:
    """Adds up seconds, part by part.

    Args:
        parts: Names of what is told apart.

    Attributes:
        seconds: {part: seconds so far}.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self.seconds = dict.fromkeys(parts, 0.0)
        self._since = 0.0

    def start(self) -> None:
        """Begin a lap."""
        self._since = perf_counter()

    def lap(self, part: str) -> None:
        """Add the lap that ends now to a part, and begin the next."""
        now = perf_counter()
        self.seconds[part] += now - self._since
        self._since = now
