"""What drivers of the kernel show of sensors: files below /sys, each read of which may be a measurement."""

import errno
import os
from pathlib import Path

from collector.devices.description import NoAnswerError

# A file of sysfs is at most a page.
_PAGE = 4096


class KernelFiles:
    """Reads below `root`; an answer to collector.devices.description.KernelLine."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """There is nothing to close."""

    def find(self, pattern: str) -> list[str]:
        """List the paths below the root that fit a pattern."""
        return sorted(str(path.relative_to(self._root)) for path in self._root.glob(pattern))

    def behind(self, path: str) -> list[str]:
        """List the folders that a path leads through, links followed."""
        return os.path.realpath(self._root / path).split("/")

    def read(self, path: str) -> str:
        """Read a file. Raises NoAnswerError when it is gone, or when the driver has no value."""
        try:
            with (self._root / path).open("rb") as file:
                return file.read(_PAGE).decode("utf-8", errors="replace")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                raise NoAnswerError(f"/{path} has gone: is its wire loose?") from error
            raise NoAnswerError(
                f"the kernel's driver has no value in /{path} ({error.strerror or error}): check the wiring"
            ) from error
