"""The controller's files: which relays were on, and the request that a broker that hangs be restarted."""

import logging
import socket
from pathlib import Path

import msgspec

from bus import state_files
from bus.health import Journal
from config.model import Broker

log = logging.getLogger(__name__)


class Memory:
    """A small file of positions by relay, or by any other word with a dot; written only when one changed.

    `problem` says why what an earlier run kept cannot be read, until something is kept again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        positions, _, self.problem = state_files.load(path, dict[str, bool])
        self._positions = positions or {}

    def was_on(self, relay: str) -> bool:
        """Whether the relay was last commanded on, or what the word stands for was so."""
        return self._positions.get(relay, False)

    def remember(self, relay: str, *, on: bool) -> None:
        """Keep a position. Raises OSError when the disk refuses."""
        if self._positions.get(relay) is on:
            return
        positions = {**self._positions, relay: on}
        state_files.write(self._path, msgspec.json.encode(positions))
        # Only now: what the disk refused must be tried again.
        self._positions, self.problem = positions, None


FILE = "broker-hangs"
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})
_PROBE_S = 0.3


class BrokerRestart:
    """The file in `runtime`; only a broker of this machine is asked for."""

    def __init__(self, broker: Broker, runtime: Path, journal: Journal) -> None:
        self._broker = broker
        self._file = runtime / FILE
        self._journal = journal

    def ask(self, away: float) -> bool:
        """Write the file if the broker's process is there but has not answered for `away` seconds."""
        if self._broker.host not in _HERE or not self._listens():
            return False
        text = f"the broker has not answered for {away:.0f} s"
        log.error("%s: asking for its restart", text)
        self._journal.count("requested_broker_restarts")
        try:
            state_files.write(self._file, f"{text}\n".encode())
        except OSError as error:
            log.error("%s: %s", self._file, error)  # noqa: TRY400 — the trace says nothing more
            return False
        return True

    def solved(self) -> None:
        """Remove the file: the broker answers."""
        self._file.unlink(missing_ok=True)

    def _listens(self) -> bool:
        """Whether somebody holds the broker's port. One that is down is the service manager's already."""
        try:
            with socket.create_connection((self._broker.host, self._broker.port), timeout=_PROBE_S):
                return True
        except ConnectionRefusedError:
            return False
        except OSError:
            # Nobody takes the connection, but nobody refuses it.
            return True
