"""Solarman data loggers on the local network: they tell by UDP who they are.

The question and the form of the answer are those of jmccrohan/pysolarmanv5, utils/solarman_scan.py.
"""

import re
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network

PORT = 48899
SECONDS = 2.0
_QUESTION = b"WIFIKIT-214028-READ"
# Address, MAC, serial number. A logger that is an access point, too, may tell its address there.
_ANSWER = re.compile(rb"[0-9.]{7,15},[0-9A-Fa-f]{12},([0-9]{8,10})")
# A serial number has four bytes.
_HIGHEST = 0xFFFFFFFF
_LONGEST, _MOST = 256, 200


def find_loggers(
    networks: Iterable[IPv4Network], seconds: float = SECONDS, port: int = PORT
) -> dict[str, int]:
    """Ask all addresses of the networks at once; return the serial numbers by address."""
    found: dict[str, int] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for network in networks:
            # Another network may still be there.
            with suppress(OSError):
                asking.sendto(_QUESTION, (str(network.broadcast_address), port))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and len(found) < _MOST:
            asking.settimeout(left)
            try:
                answer, (address, _) = asking.recvfrom(_LONGEST)
            except OSError:
                # Nobody is there, or no more.
                break
            told = _ANSWER.match(answer)
            if told is not None and 0 < int(told[1]) <= _HIGHEST:
                found[address] = int(told[1])
    return found
