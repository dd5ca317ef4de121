"""Tells systemd how the process does (sd_notify(3)); silent without it."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state such as READY=1 to the service manager; False when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)
    return True


def watchdog_interval() -> float | None:
    """Seconds between pings, half of WatchdogSec; None when the manager does not watch this process."""
    period = os.environ.get("WATCHDOG_USEC")
    pid = os.environ.get("WATCHDOG_PID")
    if not period or (pid and int(pid) != os.getpid()):
        return None
    return int(period) / 2e6
