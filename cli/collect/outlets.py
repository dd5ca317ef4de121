"""The outputs of `boondock collect`: each in a thread of its own, so that none holds up another."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from bus.health import fault_in
from config.model import Output
from forwarder.outputs import Place, SendError, TooLargeError, open_sink
from forwarder.records import Record

log = logging.getLogger(__name__)

# Records that wait for an output which takes none; then the oldest go.
MOST = 1000


class Outlet:
    """One output; what it does not take waits, and is sent again with the next record."""

    def __init__(self, name: str, settings: Output, state: Path, unread: Callable[[], None]) -> None:
        """Open it; `unread` is called when nobody reads standard output any more. Raises SendError."""
        self.name = name
        self.is_unread = False
        self._unread = unread
        self._sink = open_sink(Place(name, settings, state))
        self._given: SimpleQueue[Record | None] = SimpleQueue()
        self._waiting: deque[Record] = deque()
        self._told = ""
        self.lost = 0
        self._thread = threading.Thread(target=self._serve, name=f"output {name}", daemon=True)
        self._thread.start()

    def put(self, record: Record) -> None:
        """Have a record sent; returns at once."""
        self._given.put(record)

    def finish(self, seconds: float) -> int:
        """Let it end within `seconds`; returns how many records were not taken, and says so."""
        self._given.put(None)
        self._thread.join(seconds)
        left = len(self._waiting) + self.lost
        if left:
            log.error("%s: %d records were not taken", self.name, left)
        return left

    def _serve(self) -> None:
        ended = False
        while not ended:
            given = [self._given.get()]
            # What came meanwhile goes with it.
            while not self._given.empty():
                given.append(self._given.get())
            ended = None in given
            for record in given:
                self._take(record)
            if self._waiting:
                self._send()
        self._sink.close()

    def _take(self, record: Record | None) -> None:
        if record is None:
            return
        self._waiting.append(record)
        if len(self._waiting) > MOST:
            self._waiting.popleft()
            self._lose(f"more than {MOST} records wait: the oldest are dropped")

    def _send(self) -> None:
        try:
            fault = fault_in(self._send_all, SendError)
        except TooLargeError as error:
            self._waiting.popleft()
            self._lose(f"a record was dropped: {error}")
            return
        except SendError as error:
            if isinstance(error.__cause__, BrokenPipeError):
                self.is_unread = True
                self._waiting.clear()
                self._unread()
                return
            self._tell(f"{error} ({len(self._waiting)} records wait for the next time)", str(error))
            return
        if fault is not None:
            self._tell(f"an error of this software: {fault!r}", repr(fault))
        elif self._told:
            self._told = ""
            log.info("%s takes records again", self.name)

    def _send_all(self) -> None:
        while self._waiting:
            self._sink.send([self._waiting[0]])
            self._waiting.popleft()

    def _lose(self, why: str) -> None:
        self.lost += 1
        self._tell(why, why)

    def _tell(self, text: str, subject: str) -> None:
        """Tell what is wrong, once."""
        if self._told != subject:
            self._told = subject
            log.error("%s: %s", self.name, text)
