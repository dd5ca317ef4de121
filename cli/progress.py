"""A bar on standard error while something takes long, if a person looks on."""

import sys
import time

_WIDTH = 40
_EVERY_S = 0.2


class Progress:
    """Shows a share of the whole; silent when standard error is no terminal."""

    def __init__(self) -> None:
        self.shown = sys.stderr.isatty()
        self._next = 0.0

    def show(self, share: float, text: str) -> None:
        """Draw the bar at a share of 0 to 1, some times a second at most."""
        if self.shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY_S
            full = round(min(max(share, 0.0), 1.0) * _WIDTH)
            print(
                f"\r[{'#' * full}{'.' * (_WIDTH - full)}] {text}\x1b[K", end="", file=sys.stderr, flush=True
            )

    def done(self) -> None:
        """Remove the bar."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
