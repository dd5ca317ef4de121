"""Ports for servers of the tests' own."""

import os
import random
import socket
import time
from collections import deque
from contextlib import suppress

# Below those that the system gives to outgoing connections: one of them could take a port between two binds.
# Each worker has its own: two that look at once may find the same port free.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_PORTS = range(20_000 + 1_500 * _WORKER, 21_500 + 1_500 * _WORKER)
# No test's seed may make two workers choose alike.
_DICE = random.SystemRandom()
# Those that were given lately: their servers may not have begun to listen.
_given: deque[int] = deque(maxlen=500)


def wait_for(port: int, patience: float = 10.0) -> bool:
    """Whether a server takes connections there within so many seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def free_port() -> int:
    """A port of loopback that nobody uses now, and that stays free while its server is down."""
    while True:
        port = _DICE.choice(_PORTS)
        with suppress(OSError), socket.socket() as sock:
            if port not in _given:
                sock.bind(("127.0.0.1", port))
                _given.append(port)
                return port
