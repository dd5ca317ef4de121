"""Ports for servers of the tests' own."""

import random
import socket
from contextlib import suppress

# Below those that the system gives to outgoing connections: one of them could take a port between two binds.
_PORTS = range(20_000, 32_000)
# No test's seed may make two workers choose alike.
_DICE = random.SystemRandom()


def free_port() -> int:
    """A port of loopback that nobody uses now, and that stays free while its server is down."""
    while True:
        port = _DICE.choice(_PORTS)
        with suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port
