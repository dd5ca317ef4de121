"""Which line a device hangs on: its name, shared by all on it, and how it is made."""

from collections.abc import Callable

from collector.devices.lines import Line
from collector.ownership import Owned

# Transports are imported in the functions: a process carries only the libraries of its own lines.


def line_of(device: Owned) -> tuple[str, Callable[[], Line]]:
    """The name of the device's line, and what makes the line."""
    raise NotImplementedError(device.kind.name)
